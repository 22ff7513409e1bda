"""sweep.py on this machine: an undisturbed sweep, and one that is killed and told to stop in the middle."""

from __future__ import annotations

import csv
import shutil
import signal
from pathlib import Path

import pytest

from support import clone, run_script
from sweep_run import CONFIG, RUN, entries, made, said, started, sweep, table, wait_until, write_config

RATES = "train.learning_rate=0.001,0.003"
SLOW, FAST = "one.learning_rate-0.001", "one.learning_rate-0.003"
# Long enough to be caught in the middle on a fast machine.
STEPS = 120


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the sweep was made without an interruption, one point after the other in its own process."""
    where = clone(tmp_path_factory.mktemp("undisturbed"))
    write_config(where, max_steps=STEPS, steps_per_job=STEPS, save_steps=10)
    printed = sweep(where, "--set", RATES, "--executor", "debug")
    assert f"{SLOW}: done" in printed and f"{FAST}: done" in printed
    return where


def test_the_table_is_sorted_by_the_validation_loss(undisturbed: Path) -> None:
    rows = table(undisturbed)
    assert {row["point"] for row in rows} == {SLOW, FAST} and {row["state"] for row in rows} == {"done"}
    losses = [row["validation"] for row in rows]
    assert losses == sorted(losses) and losses[0] != losses[1]
    log = (undisturbed / RUN / "train" / rows[0]["point"] / "segment-1" / "log.jsonl").read_text()
    assert f'"eval_loss": {losses[0]!r}' in log
    assert all(row["steps"] == STEPS and row["jobs"] == 1 and row["hours"] > 0 for row in rows)
    with (undisturbed / RUN / "sweeps/one/sweep.csv").open(newline="") as handle:
        listed = list(csv.DictReader(handle))
    assert [row["point"] for row in listed] == [row["point"] for row in rows]
    assert {float(row["train.learning_rate"]) for row in listed} == {0.001, 0.003}
    assert not any("test" in column or "acc" in column for column in listed[0]), (
        "nobody picks a point by its test scores"
    )


def test_compare_reads_the_points(undisturbed: Path) -> None:
    """The run itself has no config.resolved.yaml: only the sweep was made."""
    results = undisturbed / "results"
    first, second = (row["point"] for row in table(undisturbed))
    for runs in (f"tiny/{first},tiny/{second}", "tiny/sweeps/one"):
        printed = run_script("compare", "--runs", runs, "--results", results, "--resamples", 100)
        assert f"### tiny/{second} against tiny/{first}" in printed


def test_what_is_done_stays_and_what_changed_is_made_anew(undisturbed: Path) -> None:
    def states(*words: str) -> dict[str, str]:
        lines = [line.split() for line in sweep(undisturbed, "--set", *words, "-n").splitlines()]
        return {line[-1]: " ".join(line[4:-1]) for line in lines if line and line[-1].startswith("one.")}

    assert states(RATES) == {SLOW: "done", FAST: "done"}
    more = states("train.learning_rate=0.001,0.003,0.01")
    assert more == {SLOW: "done", FAST: "done", "one.learning_rate-0.01": "to make"}
    kept = (undisturbed / CONFIG).read_text()
    write_config(undisturbed, max_steps=STEPS, steps_per_job=STEPS, save_steps=10, weight_decay=0.1)
    assert states(RATES) == {SLOW: "to make", FAST: "to make"}
    (undisturbed / CONFIG).write_text(kept)
    assert len(entries(undisturbed, SLOW)) == 1, "a dry run trains nothing"


@pytest.mark.long  # tests/slurm/test_sweep.py does it to a sweep of the queue
def test_a_sweep_killed_and_stopped_in_the_middle_ends_as_an_undisturbed_one(undisturbed: Path, tmp_path: Path) -> None:
    where = tmp_path / "disturbed"
    shutil.copytree(undisturbed, where, symlinks=True)
    for folder in ("train", "models", "predictions", "metrics", "work", "sweeps"):
        for path in (where / RUN / folder).glob("one*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (where / RUN / "ledger.jsonl").unlink()

    def saved(point: str) -> bool:
        return any((where / RUN / "work" / point).glob("segment-1/checkpoint-*/complete.json"))

    # Killed: its job goes on, is found, and is not doubled.
    with started(where, "--set", RATES) as process:
        wait_until(lambda: saved(SLOW), process, where)
        process.kill()
    with started(where, "--set", RATES) as process:
        wait_until(lambda: saved(FAST), process, where)
        assert f"{SLOW}: found at work" in said(where)
        # Told to stop: its job saves and ends.
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) == 75
    assert "the same command goes on" in said(where)
    printed = sweep(where, "--set", RATES)
    assert f"{FAST}: done" in printed and f"{SLOW}: job" not in printed

    assert [one.outcome for one in entries(where, SLOW)] == ["done"], "trained once"
    stopped, last = entries(where, FAST)
    assert (stopped.outcome, last.outcome) == ("signal", "done")
    assert 0 < stopped.last_step == last.first_step < STEPS, "no step is made twice"
    assert made(where) == made(undisturbed)
    assert sweep(where, "--set", RATES).count(": job ") == 0, "and a third time there is nothing to make"


def test_a_point_that_a_command_refuses_is_told_and_not_tried_again(undisturbed: Path) -> None:
    points = "strange: {train: {use_lora: true, lora_targets: no_such_layer}}"
    (undisturbed / "points.yaml").write_text(points)
    printed = sweep(undisturbed, "--list", "points.yaml", "--name", "strange", code=1)
    assert printed.count("one.strange: job ") == 1
    assert "one.strange: failed: train.py: error: " in printed and "no_such_layer" in printed
    (row,) = table(undisturbed, "strange")
    assert row["state"] == "failed" and row["validation"] is None
