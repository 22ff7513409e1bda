"""What stale results have cost, what may be accepted, and how a change is worded."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from ledger_entries import entry
from support import clone
from suture import ledger, stale
from suture.errors import SutureError
from suture.stale_words import params_in_words


def test_an_interrupted_job_s_attempts_count_with_it(tmp_path: Path) -> None:
    book = tmp_path / "ledger.jsonl"
    for one in (
        entry("one", 1, gpu_hours=9.0),
        entry("one", 1, outcome="deadline", gpu_hours=2.0),
        entry("one", 1, outcome="killed", gpu_hours=1.0),
        entry("one", 1, gpu_hours=0.5),
    ):
        ledger.append(book, one)
    job = stale.Job(
        rule="train_segment", wildcards={"experiment": "one", "segment": "1"}, made=True, half_written=False,
        causes=["its code was edited"], follows=[], steps=2, gpus=1, benchmark=None,
    )  # fmt: skip
    assert stale.redone([job], tmp_path).gpu_hours == 3.5, "the last making, not the one before"
    new = dataclasses.replace(job, made=False, wildcards={"experiment": "one", "segment": "2"})
    assert stale.redone([new], tmp_path).gpu_hours == 0
    assert stale.first([new], tmp_path).gpu_hours == pytest.approx(2 * 5400 / 3600)


def test_half_written_results_cannot_be_accepted(tmp_path: Path) -> None:
    job = stale.Job(
        rule="predict", wildcards={"experiment": "one"}, made=True, half_written=True, causes=["half written"],
        follows=[], steps=None, gpus=1, benchmark=None,
    )  # fmt: skip
    with pytest.raises(SutureError, match="predict one"):
        stale.guard([job], tmp_path, allowed=8, confirmed=True, accepting=True)
    assert not (tmp_path / "ledger.jsonl").exists()


def test_changed_parameters_are_named() -> None:
    params = {"code": "a" * 16, "options": "--r 8 --no-augment", "clips": ["x"], "wordings": 2}
    assert params_in_words(params, ["'" + "b" * 16 + "'"], ["'" + "a" * 16 + "'"]) == ["its code was edited"]
    said = params_in_words(params, ["'--r 4 --augment'", "1"], ["'--r 8 --no-augment'", "2"])
    assert said == ["its options have changed: r 4 -> 8, augment yes -> no", "wordings has changed: 1 -> 2"]


def test_the_targets_of_make_pass_the_run_on(tmp_path: Path) -> None:
    shown = subprocess.run(
        ["make", "-n", "-C", str(clone(tmp_path)), "accept", "CONFIG=config/demo/surgery-sft.yaml", "PROFILE=slurm"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "why.py --accept --configfile config/demo/surgery-sft.yaml -- --profile slurm" in " ".join(shown.split())
