"""What a job used: counted by itself, read back from its log; GPUs through a stand-in for nvidia-smi."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support import SCRIPTS
from suture import benchmarks, usage
from suture.gpu_watch import Card, visible
from suture.reporting import used
from suture.usage import Usage

COMMAND = """
import multiprocessing, sys, time
sys.path.insert(0, {scripts!r})
from suture.cli import Parser, run

def burn(seconds):
    held = bytearray(150_000_000)
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

def main(args):
    workers = [multiprocessing.get_context("spawn").Process(target=burn, args=(0.6,)) for _ in range(2)]
    for one in workers: one.start()
    for one in workers: one.join()
    {then}

if __name__ == "__main__":
    run(main, Parser(None), gpus=True)
"""

# As the driver prints it: MiB and per cent, a value that it does not have, a sentence that is no row.
NVIDIA_SMI = """\
#!/bin/sh
echo "$@" > {said}
while true; do
  case "$*" in
    *--id=1*) ;;
    *) echo "GPU-0a, NVIDIA A100-SXM4-80GB, 81920, 20480, 30";;
  esac
  echo "GPU-1b, NVIDIA A100-SXM4-80GB, 81920, 40960, [N/A]"
  echo "Unable to determine the device handle"
  sleep 0.05
done
"""


def job(tmp_path: Path, then: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "command.py"
    script.write_text(COMMAND.format(scripts=str(SCRIPTS), then=then))
    kept = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=kept | environment
    )


def smi(tmp_path: Path) -> dict[str, str]:
    """Puts the stand-in on PATH and returns the environment of a job."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(NVIDIA_SMI.format(said=tmp_path / "said"))
    program.chmod(0o755)
    return {usage.ASKED: "yes", "PATH": f"{program.parent}:/usr/bin:/bin"}


def read(tmp_path: Path, done: subprocess.CompletedProcess[str]) -> Usage:
    log = tmp_path / "job.log"
    log.write_text(done.stdout + done.stderr)
    found = usage.read(log)
    assert found, done.stderr
    return found


def test_a_job_counts_the_processes_that_it_started(tmp_path: Path) -> None:
    done = job(tmp_path, **{usage.ASKED: "yes", "PATH": "/usr/bin:/bin"})
    found = read(tmp_path, done)
    # Two processes of 0.6 s, and what three interpreters need to start.
    assert 1.2 <= found.cpu_seconds < 5
    assert found.seconds >= 0.6
    assert found.peak_bytes > 150_000_000  # the largest process, which is not the first
    assert found.cards == []


def test_only_jobs_of_the_workflow_say_it_and_those_that_fail_do_not(tmp_path: Path) -> None:
    assert usage.MARK not in job(tmp_path).stderr
    failed = job(tmp_path, then="raise SystemExit('no more')", **{usage.ASKED: "yes"})
    assert failed.stderr.rstrip().endswith("no more")
    second = job(tmp_path, **{usage.ASKED: "yes", "RANK": "1"})
    assert usage.MARK not in second.stderr


def test_cards_are_looked_at_while_the_job_runs(tmp_path: Path) -> None:
    first, second = read(tmp_path, job(tmp_path, **smi(tmp_path))).cards
    assert (first.busy, first.peak_bytes, first.total_bytes) == (0.3, 20 * 2**30, 80 * 2**30)
    assert second.busy is None and second.peak_bytes == 40 * 2**30
    assert first.looks >= 2
    said = (tmp_path / "said").read_text()
    assert "--query-gpu=uuid,name,memory.total,memory.used,utilization.gpu" in said and "--id" not in said


def test_only_the_cards_that_the_queue_gave_are_looked_at(tmp_path: Path) -> None:
    environment = smi(tmp_path)
    (card,) = read(tmp_path, job(tmp_path, **environment, CUDA_VISIBLE_DEVICES="1")).cards
    assert card.peak_bytes == 40 * 2**30
    assert read(tmp_path, job(tmp_path, **environment, CUDA_VISIBLE_DEVICES="")).cards == []


@pytest.mark.parametrize(
    ("devices", "cards"),
    [(None, None), ("", []), ("-1", []), ("0,2", ["0", "2"]), ("2,-1,3", ["2"]), ("GPU-ab", ["GPU-ab"]), ("MIG-a", [])],
)
def test_visible_devices_are_read_as_cuda_reads_them(devices: str | None, cards: list[str] | None) -> None:
    assert visible(devices) == cards


def test_a_log_that_ends_otherwise_says_nothing(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    for text in ("", "error\n", 'used: {"seconds": 1\n', 'used: {"seconds": 1}\n'):
        log.write_text(text)
        assert usage.read(log) is None, text


BENCHMARK = textwrap.dedent("""\
    s\th:m:s\tmax_rss\tmean_load\tparams\tthreads\tresources
    10.0\t0:00:10\tNA\tNA\t{'a': 'x\\ty'}\t1\t{}
    40.5\t0:00:40\t2048\t72.7\t{'a': "it's"}\t2\t{'mem_mb': 4000, 'gpu': 2, 'cpus_per_gpu': 8, 'workers': 0}
    """)


def test_a_benchmark_says_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "one.tsv"
    path.write_text(BENCHMARK)
    found = benchmarks.read(path)
    assert found == benchmarks.Benchmark(
        seconds=40.5, peak_bytes=2**31, cores=16, memory_bytes=4000 * 2**20, gpus=2, workers=0
    )
    path.write_text("s\th:m:s\n3.5\t0:00:03\n")  # as Snakemake writes it without benchmark-extended
    plain = benchmarks.read(path)
    assert plain and (plain.seconds, plain.cores, plain.memory_bytes) == (3.5, None, None)
    path.write_text("")
    assert benchmarks.read(path) is None


GIB = 2**30


def use(**changes: object) -> used.RuleUse:
    fields = {"rule": "train_segment", "usages": [spent(1.0)], "cores": 1, "memory_bytes": 8 * GIB}
    fields |= {"peak_bytes": 4 * GIB, "gpus": 0, "workers": None}
    return used.RuleUse(**fields | changes)  # type: ignore[arg-type]


def spent(cores: float, seconds: float = 100.0, busy: float | None = None, held: int = 60) -> Usage:
    cards = [] if busy is None else [Card(name="A", looks=9, busy=busy, peak_bytes=held * GIB, total_bytes=80 * GIB)]
    return Usage(
        seconds=seconds,
        cpu_seconds=cores * seconds,
        peak_bytes=4 * GIB,
        read_bytes=0,
        written_bytes=0,
        cards=cards,
    )


@pytest.mark.parametrize(
    ("job", "advice"),
    [
        (use(), ""),
        (use(usages=[spent(0.9)], cores=8), "set-threads: {train_segment: 2}"),
        (use(usages=[spent(0.9, seconds=20)], cores=8), ""),  # too short to say
        (use(usages=[spent(0.9), spent(7.5)], cores=8), ""),  # one of the jobs needs them
        (use(usages=[spent(2.0)]), "set-threads: {train_segment: 2}"),
        (use(usages=[spent(0.9, busy=0.9)], cores=8, gpus=1), "set-resources: {train_segment: {cpus_per_gpu: 2}}"),
        (
            use(usages=[spent(1.0, busy=0.4)], cores=8, gpus=1, workers=0),
            "set-resources: {train_segment: {workers: 7}}",
        ),
        (
            use(usages=[spent(7.9, busy=0.4)], cores=8, gpus=1, workers=7),
            "set-resources: {train_segment: {cpus_per_gpu: 16}}",
        ),
        (use(usages=[spent(1.0, busy=0.9, held=20)], gpus=1), "larger train.batch_size"),
        (use(peak_bytes=int(7.5 * GIB)), "set-resources: {train_segment: {mem_mb: 12000}}"),
        (use(memory_bytes=64 * GIB), "set-resources: {train_segment: {mem_mb: 7000}}"),
        (use(memory_bytes=64 * GIB, usages=[spent(0.9, busy=1.0)], cores=8, gpus=1), "{cpus_per_gpu: 2, mem_mb: 7000}"),
        (use(cores=None, memory_bytes=None), ""),
    ],
)
def test_what_to_change_is_said_where_it_is_clear(job: used.RuleUse, advice: str) -> None:
    said, keys = used.advise(job)
    assert advice in f"{said} {keys}" if advice else (said, keys) == ("", "")


def test_the_table_has_a_row_for_each_rule(tmp_path: Path) -> None:
    (tmp_path / "logs" / "predict" / "deep").mkdir(parents=True)
    (tmp_path / "logs" / "predict" / "deep" / "one.log").write_text(f"asked\n{spent(1.5, busy=0.5).line()}\nbye\n")
    (tmp_path / "logs" / "predict" / "two.log").write_text(spent(0.5, seconds=300).line())
    (tmp_path / "logs" / "report.log").write_text(spent(1).line())
    (tmp_path / "logs" / "score.log").write_text("error: it failed")
    (tmp_path / "benchmarks" / "predict").mkdir(parents=True)
    (tmp_path / "benchmarks" / "predict" / "one.tsv").write_text(BENCHMARK)
    predict, report = used.read(tmp_path / "logs", tmp_path / "benchmarks")
    assert (predict.rule, predict.jobs, predict.cores) == ("predict", 2, "0.8 of 16")
    assert (predict.memory, predict.gpu, predict.gpu_memory) == ("4.0 of 3.9 GiB", "50 %", "60 of 80 GiB")
    assert (report.rule, report.cores, report.gpu) == ("report", "1.0", "–")
    assert used.read(tmp_path / "none", tmp_path / "none") == []
