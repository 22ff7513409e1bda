"""What is said of failed jobs where a run stops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import SCRIPTS
from suture.failed import LINES, FailedJob, tell

SNAKEFILE = """
import sys
sys.path.insert(0, {scripts!r})
from suture import failed

onerror:
    print(failed.tell(failed.of_run(workflow)), file=sys.stderr)

rule all:
    input: "one.txt", expand("two-{{n}}.txt", n=[1, 2])

rule one:
    output: "one.txt"
    log: "logs/one.log"
    shell: "echo well > {{output}} 2> {{log}}"

rule two:
    output: "two-{{n}}.txt"
    log: "logs/two/{{n}}.log"
    retries: 1
    shell: "for i in $(seq 90); do echo line $i; done > {{log}}; touch {{output}}; exit $(({{wildcards.n}} - 1))"
"""


def test_each_failed_job_is_shown_once_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(scripts=str(SCRIPTS)))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--keep-going"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    said = done.stderr.split("1 job failed:")
    assert len(said) == 2, done.stderr[-3000:]
    assert "two n=2\n  logs/two/2.log\n" in said[1]
    assert f"    | line {91 - LINES}\n" in said[1] and "    | line 90\n" in said[1]
    assert f"line {90 - LINES}\n" not in said[1]


def test_a_job_that_wrote_nothing_has_the_log_of_its_queue(tmp_path: Path) -> None:
    empty = tmp_path / "predict" / "a.log"
    empty.parent.mkdir()
    empty.touch()
    job = FailedJob(rule="predict", wildcards={"experiment": "a", "segment": "1"}, logs=[empty])
    assert "nothing was written" in tell([job], tmp_path / "slurm")
    folder = tmp_path / "slurm" / "rule_predict" / "a_1"
    folder.mkdir(parents=True)
    for number, text in ((7, "the first attempt"), (12, "slurmstepd: error: Detected 1 oom_kill event")):
        (folder / f"{number}.log").write_text(text)
        os.utime(folder / f"{number}.log", (number, number))
    assert f"{folder / '12.log'}\n    | slurmstepd: error" in tell([job], tmp_path / "slurm")


def test_a_progress_bar_is_its_last_state(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"begin\n 10%\r 20%\r 90%\nerror: \xff disk\n" + b"x" * 500 + b"\n")
    lines = tell([FailedJob(rule="cut", wildcards={}, logs=[log])]).splitlines()
    assert lines[4:6] == ["    | begin", "    |  90%"] and lines[6].startswith("    | error:")
    assert lines[7].endswith("x ...") and len(lines[7]) < 220
    assert tell([]) == ""
