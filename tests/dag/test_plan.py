"""`snakemake plan`: what the DAG shows before and after steps and jobs are settled, and the whole way once."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from support import clone, planned, snakemake
from suture import files
from suture.config import schedule

FLAGS = ["--configfile", "auto.yaml"]


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A clone with a run of one experiment that leaves steps and jobs to the plan."""
    where = clone(tmp_path)
    tiny = yaml.safe_load((where / "tests/dag/tiny.yaml").read_text())
    one = tiny["experiments"]["one"]
    del one["train"]["max_steps"]
    one["train"] |= {"epochs": 3, "steps_per_job": "auto"}
    tiny |= {"run": "auto", "experiments": {"one": one}, "cases": tiny["cases"][:3], "shards": 1}
    tiny["split"]["fractions"] = [0.34, 0.33, 0.33]
    (where / "auto.yaml").write_text(yaml.safe_dump(tiny))
    return where


def test_an_open_run_shows_its_probe_and_plan_and_says_so(fresh: Path) -> None:
    printed = snakemake(fresh, "-n", *FLAGS)
    jobs = planned(printed)
    assert jobs["probe"] == jobs["plan_steps"] == jobs["organize_videos"] == 1
    assert not {"train_segment", "predict", "report"} & set(jobs)
    assert "left to the plan of: one (not planned yet)" in " ".join(printed.split())
    assert "no segment" not in printed


def test_a_settled_run_shows_its_segments_with_the_borders_of_the_plan(fresh: Path) -> None:
    train = yaml.safe_load((fresh / "auto.yaml").read_text())["experiments"]["one"]["train"]
    plan = schedule.Plan(asked=schedule.asked(train), max_steps=10, borders=[3, 5, 10], samples=7)
    path = schedule.path_of(fresh / "results/auto", "one")
    files.write_json(path, dataclasses.asdict(plan))
    printed = snakemake(fresh, "-n", *FLAGS)
    assert planned(printed)["train_segment"] == 3 and "probe" not in planned(printed)
    for step in (3, 5, 10):
        assert f"Training one to step {step}\n" in printed
    config = fresh / "auto.yaml"
    config.write_text(config.read_text().replace("epochs: 3", "epochs: 4"))
    assert "train_segment" not in planned(snakemake(fresh, "-n", *FLAGS)), "the plan answers another question"


def test_the_plan_of_a_run_of_given_steps_asks_for_no_plan_file(fresh: Path) -> None:
    jobs = planned(snakemake(fresh, "-n", "plan", "--configfile", "tests/dag/tiny.yaml"))
    assert jobs["probe"] == 3 and jobs["plan"] == 1
    assert not {"plan_steps", "train_segment", "predict"} & set(jobs)


def test_from_epochs_to_a_trained_model(fresh: Path) -> None:
    """The way of a user: plan, then the same command without it."""
    printed = snakemake(fresh, "plan", *FLAGS)
    assert "experiment           trains" in printed, "the table"
    plan = json.loads((fresh / "results/auto/plans/one.json").read_text())
    samples = json.loads((fresh / "results/auto/manifests/split/split.json").read_text())["counts"]["train"]["samples"]
    assert plan["max_steps"] == -(-samples * 3 // 4) and plan["samples"] == samples
    assert plan["borders"] == [plan["max_steps"]], "ten hours are enough for one job"
    assert f"3 epochs x {samples} samples / (4 x 1) a step = {plan['max_steps']} steps" in printed
    assert "experiment           trains" in snakemake(fresh, "plan", *FLAGS), "and each time it is asked for"
    jobs = planned(snakemake(fresh, "-n", "train", *FLAGS))
    assert jobs["train_segment"] == 1 and "probe" not in jobs
    snakemake(fresh, "train", *FLAGS)
    card = json.loads((fresh / "results/auto/train/one/segment-1/suture.json").read_text())
    assert card["step"] == plan["max_steps"]
