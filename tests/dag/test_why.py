"""`make why`, the guard at a run's start, and `make accept`, by the real snakemake on a run that was only pretended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ledger_entries import entry
from support import clone, planned, snakemake
from suture import ledger

CONFIG = "tests/dag/tiny.yaml"
FLAGS = ["--configfile", CONFIG]
RUN = Path("results/tiny")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A clone in which every file of the tiny run is there, empty, as if it had been made."""
    where = clone(tmp_path)
    listed = snakemake(where, "--summary", *FLAGS)
    for line in listed.splitlines():
        name = line.split("\t")[0]
        if not name.startswith("results/"):
            continue
        path = where / name
        folder = not path.suffix or path.parent.name == "base"
        (path if folder else path.parent).mkdir(parents=True, exist_ok=True)
        (path / "file" if folder else path).write_text("{}")
    snakemake(where, "--touch", *FLAGS)
    assert planned(snakemake(where, "-n", *FLAGS)) == {}
    (where / RUN / "ledger.jsonl").unlink(missing_ok=True)
    for experiment in ("one", "two"):
        for segment in (1, 2):
            ledger.append(where / RUN / "ledger.jsonl", entry(experiment, segment))
    return where


def why(run: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "workflow/scripts/why.py", *FLAGS, *words],
        cwd=run,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_why_the_guard_and_accept(run: Path) -> None:
    """One test: a finished run takes seconds to pretend, and each step goes on from the one before."""
    assert "nothing to do" in why(run)
    config = run / CONFIG
    edit(config, "learning_rate: 0.001", "learning_rate: 0.002")

    # Which option, of which experiment, and what that costs: two segments of 3 GPU-hours.
    said = why(run)
    assert "train_segment two/1: its options have changed: learning-rate 0.001 -> 0.002" in said
    assert "results that took about 6.0 GPU-hours" in said and "train_segment one" not in said
    asked = json.loads(why(run, "--json"))
    assert asked["redone"]["gpu_hours"] == 6.0
    jobs = planned(snakemake(run, "-n", *FLAGS))
    assert len(asked["jobs"]) == sum(jobs.values()) - jobs["all"], "as many as the dry run says"

    # 6 hours are fewer than the 8 that need no confirmation; of 2 a run stops, and a dry run does not.
    assert "confirm_gpu_hours" not in said
    config.write_text(config.read_text() + "confirm_gpu_hours: 2\n")
    snakemake(run, "-n", *FLAGS)
    before = sorted(path for path in (run / RUN).rglob("*") if path.is_file())
    refused = snakemake(run, *FLAGS, code=1)
    assert "results anew that took about 6.0 GPU-hours; without asking it may 2" in refused
    assert "--config confirm=yes" in refused and "make accept" in refused and "Traceback" not in refused
    assert sorted(path for path in (run / RUN).rglob("*") if path.is_file()) == before, "nothing was deleted"
    assert "stops at its start" in why(run)

    # Accepted, the results are up to date, and the ledger says who did what and why.
    assert "accepted: the results of" in why(run, "--accept")
    assert planned(snakemake(run, "-n", *FLAGS)) == {}
    kept = ledger.read(run / RUN / "ledger.jsonl")
    assert len(kept.entries) == 4 and not kept.damaged
    assert kept.acceptances[-1].gpu_hours == 6.0 and kept.acceptances[-1].jobs["train_segment"] == 2
    assert any("learning-rate 0.001 -> 0.002" in cause for cause in kept.acceptances[-1].causes)

    # An edit of the library, named as such; a confirmed run starts.
    with (run / "workflow/scripts/suture/splitting.py").open("a") as module:
        module.write("\nADDED = 1\n")
    assert "split_dataset: its code was edited" in why(run)
    told = snakemake(run, *FLAGS, "--config", "confirm=yes", "--until", "split_dataset", code=1)
    assert "without asking" not in told
    assert "Error in rule split_dataset" in told, "the guard let it start; there is nothing in pretended files to split"
