"""The ledger: what a job leaves however it ends, several jobs at once, and what must not get into it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import ROOT, SCRIPTS
from suture import beat, files, ledger, machine
from suture.beat import Beat, Pace
from suture.ledger import Entry
from suture.training import recording
from suture.training.recording import About, recorded


def about(**changes: object) -> About:
    fields = {
        "experiment": "qwen",
        "segment": 2,
        "until_step": 20,
        "samples_per_step": 8,
        "code": "c0de",
        "config": ledger.digest_of({"seed": 42}),
        "inputs": {"train": "a" * 64, "frames": "b" * 64},
        "seeds": {"train": 42},
        "threads": 1,
    }
    return About(**fields | changes)


def run(path: Path, work: Path, **changes: object) -> Entry:
    """A job of 10 steps, 0.5 s each; returns its entry."""
    pace = Pace()
    with recorded(path, about(**changes), pace, work_dir=work) as record:
        pace.begin(10, now=100.0)
        pace.reach(20, now=105.0)
        record.ended(first_step=10, step=20, published=True, reason="")
    return ledger.read(path).entries[-1]


def test_an_entry_says_what_ran_where_and_how_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    entry = run(tmp_path / "ledger.jsonl", tmp_path)
    assert (entry.experiment, entry.segment, entry.outcome, entry.reason) == ("qwen", 2, "done", "")
    assert (entry.first_step, entry.last_step, entry.until_step) == (10, 20, 20)
    assert (entry.seconds_per_step, entry.samples_per_second) == (0.5, 16.0)
    assert entry.slurm == {"job": "4711", "array_task": "3"}
    assert entry.seeds == {"train": 42}
    assert entry.inputs["frames"] == "b" * 64
    assert entry.lock == files.sha256_file(ROOT / "requirements.lock")
    assert entry.host == os.uname().nodename
    assert entry.device
    assert entry.gpus == 0 and entry.gpu_hours == 0 and entry.gpu_bytes is None
    assert entry.resident_bytes > 10e6  # bytes, not kilobytes
    assert 0 <= time.time() - ledger.moment(entry.ended) < 60
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert entry.commit == (head or None)
    assert not (tmp_path / recording.NOTE).exists()


def test_a_job_s_time_is_counted_from_its_start_and_gpu_hours_from_its_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: ["NVIDIA H100"] * 2)
    path = tmp_path / "ledger.jsonl"
    with recorded(path, about(), Pace(), work_dir=tmp_path, began=time.monotonic() - 1800) as record:
        record.ended(first_step=0, step=20, published=True, reason="")
    (entry,) = ledger.read(path).entries
    assert entry.wall_seconds == pytest.approx(1800, abs=5)
    assert (entry.device, entry.gpus) == ("NVIDIA H100", 2)
    assert entry.gpu_hours == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("published", "reason", "outcome"),
    [
        (True, "", "done"),
        (True, "the validation loss was lowest at step 5", "early stop"),
        (False, "the deadline", "deadline"),
        (False, "SIGTERM", "signal"),
    ],
)
def test_outcomes(tmp_path: Path, published: bool, reason: str, outcome: str) -> None:
    path = tmp_path / "ledger.jsonl"
    with recorded(path, about(), Pace(), work_dir=tmp_path) as record:
        record.ended(first_step=0, step=7, published=published, reason=reason)
    (entry,) = ledger.read(path).entries
    assert (entry.outcome, entry.reason, entry.last_step) == (outcome, reason, 7)


def test_a_failure_is_recorded_without_secrets_and_home_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/annotator")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    path, pace = tmp_path / "ledger.jsonl", Pace()
    said = "cannot read /home/annotator/data/x\nwith 0123456789abcdef or hf_AbCdEfGhIjKlMnOpQrSt " + "long " * 2000
    with pytest.raises(ValueError, match="cannot read"), recorded(path, about(), pace, work_dir=tmp_path):
        pace.begin(3, now=0.0)
        pace.reach(5, now=1.0)
        raise ValueError(said)
    (entry,) = ledger.read(path).entries
    assert (entry.outcome, entry.first_step, entry.last_step) == ("failed", 3, 5)
    assert entry.reason.startswith("ValueError: cannot read ~/data/x with *** or *** long")
    text = path.read_text()
    assert "annotator" not in text and "0123456789abcdef" not in text and "hf_" not in text
    assert len(text) < ledger.LONGEST


def test_of_several_processes_of_a_job_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with recorded(tmp_path / "ledger.jsonl", about(), Pace(), work_dir=tmp_path) as record:
        record.ended(first_step=0, step=1, published=True, reason="")
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_cannot_be_written_does_not_undo_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ledger.jsonl").mkdir()
    with recorded(tmp_path / "ledger.jsonl", about(), Pace(), work_dir=tmp_path) as record:
        record.ended(first_step=0, step=1, published=True, reason="")
    assert "the ledger has no entry of this job" in capsys.readouterr().err


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
from test_ledger import about
from suture import beat, files, ledger
from suture.beat import Beat, Pace
from suture.training.recording import recorded
work = Path({work!r})
with recorded(work / "ledger.jsonl", about(), Pace(), work_dir=work):
    now = Beat(experiment="qwen", state="running", reason="", first_step=10, step=13, until_step=20, max_steps=40,
        loss=1.0, learning_rate=1e-3, seconds_per_step=2.0, segment_seconds_left=14.0, run_seconds_left=54.0,
        started=ledger.utc(time.time()), updated=ledger.utc(time.time() + 3600), **beat.here())
    files.write_json(work / beat.NAME, now.to_json())
    print("at work", flush=True)
    time.sleep(60)
"""


def test_a_job_that_was_killed_is_entered_by_the_next_one(tmp_path: Path) -> None:
    paths = [str(SCRIPTS), str(ROOT / "tests"), str(ROOT / "tests" / "unit")]
    code = KILLED.format(paths=paths, work=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None and job.stdout.readline() == "at work\n"
        assert ledger.read(tmp_path / "ledger.jsonl").entries == []
        job.send_signal(signal.SIGKILL)
    run(tmp_path / "ledger.jsonl", tmp_path)
    killed, done = ledger.read(tmp_path / "ledger.jsonl").entries
    assert (killed.outcome, killed.first_step, killed.last_step) == ("killed", 10, 13)
    assert killed.wall_seconds == pytest.approx(3600, abs=10)  # to its last sign of life
    assert done.outcome == "done"
    run(tmp_path / "ledger.jsonl", tmp_path)
    assert [entry.outcome for entry in ledger.read(tmp_path / "ledger.jsonl").entries] == ["killed", "done", "done"]


def test_a_job_that_is_at_work_is_not_taken_for_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ledger.jsonl"
    with recorded(path, about(), Pace(), work_dir=tmp_path) as record:
        run(path, tmp_path)
        record.ended(first_step=0, step=1, published=True, reason="")
    assert "is at work in" in capsys.readouterr().err
    assert [entry.outcome for entry in ledger.read(path).entries] == ["done", "done"]


def _write_many(path: Path, entry: Entry, name: str) -> None:
    for number in range(60):
        ledger.append(path, Entry(**{**vars(entry), "experiment": name, "segment": number}))


def test_jobs_that_write_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    entry = run(tmp_path / "one.jsonl", tmp_path)
    path = tmp_path / "ledger.jsonl"
    names = [f"job-{number}" for number in range(6)]
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=_write_many, args=(path, entry, name)) for name in names]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    read = ledger.read(path)
    assert read.damaged == []
    for name in names:
        assert [one.segment for one in read.of(name)] == list(range(60))


def test_a_cut_last_line_is_counted_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    entry = run(path, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:100])
    assert ledger.read(path) == ledger.Ledger(entries=[entry], damaged=[2])
    ledger.append(path, entry)
    assert ledger.read(path) == ledger.Ledger(entries=[entry, entry], damaged=[2])
    assert ledger.read(tmp_path / "none.jsonl") == ledger.Ledger()


def test_a_line_of_another_version_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    run(path, tmp_path)
    with path.open("a") as handle:
        handle.write(json.dumps({"schema": 99}) + "\n[1]\n")
    read = ledger.read(path)
    assert (len(read.entries), read.damaged) == (1, [2, 3])


def test_an_entry_too_long_to_be_appended_in_one_piece_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give digests"):
        ledger.append(
            tmp_path / "ledger.jsonl",
            Entry(**{**vars(run(tmp_path / "one.jsonl", tmp_path)), "inputs": {str(n): "f" * 64 for n in range(64)}}),
        )


def test_totals(tmp_path: Path) -> None:
    entry = vars(run(tmp_path / "one.jsonl", tmp_path))
    first = {"wall_seconds": 3600.0, "gpu_hours": 2.0, "gpu_bytes": 5, "device": "NVIDIA H100", "commit": "a" * 40}
    second = {"wall_seconds": 1800.0, "gpu_hours": 1.0, "gpu_bytes": 9, "device": "NVIDIA H100", "outcome": "deadline"}
    found = ledger.totals([Entry(**entry | first | {"changed": False}), Entry(**entry | second | {"commit": None})])
    assert (found["jobs"], found["unfinished"], found["wall_hours"], found["gpu_hours"]) == (2, 1, 1.5, 3.0)
    assert (found["devices"], found["gpu_bytes"], found["codes"]) == (["NVIDIA H100"], 9, ["a" * 12, "c0de"])


def test_code_outside_of_a_repository_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.email=a@b", "-c", "user.name=a"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "x.py").write_text("1\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    commit, changed = machine.git_revision()
    assert commit is not None and len(commit) == 40 and changed is False
    (tmp_path / "results.txt").write_text("not code\n")
    assert machine.git_revision() == (commit, False)
    (tmp_path / "workflow" / "y.py").write_text("2\n")
    assert machine.git_revision() == (commit, True)
    # A copy that lies in somebody else's repository has none of its own.
    monkeypatch.setattr(machine, "ROOT", tmp_path / "workflow")
    assert machine.git_revision() == (None, None)


def test_importing_the_ledger_is_light() -> None:
    code = "import sys; from suture import ledger, beat, status; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SCRIPTS)
    assert done.stdout == "False\n"


def test_a_beat_is_read_back(tmp_path: Path) -> None:
    written = Beat(
        experiment="qwen",
        state="running",
        reason="",
        first_step=0,
        step=1,
        until_step=2,
        max_steps=3,
        loss=None,
        learning_rate=None,
        seconds_per_step=None,
        segment_seconds_left=None,
        run_seconds_left=None,
        started="2026-11-21T00:00:00Z",
        updated="2026-11-21T00:00:10Z",
        **beat.here(),
    )
    files.write_json(tmp_path / beat.NAME, written.to_json())
    assert beat.read(tmp_path / beat.NAME) == written
    assert beat.read(tmp_path / "none.json") is None
    assert written.age(ledger.moment("2026-11-21T00:00:40Z")) == 30
