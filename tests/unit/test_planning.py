"""The plan: steps, jobs, hours, disk and memory, where each number is from, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from support import run_script
from suture import cluster, files, ledger, planning, probing, profiles
from suture.config import schedule
from suture.config.load import resolve
from suture.config.model import Config
from suture.ledger import Ledger
from suture.pace import Limit
from suture.plan_table import WIDTH, table
from suture.planning import Row
from suture.probing import Memory, Probe, Timing

HALF_DAY = Limit(minutes=720, said_by="the limit of partition gpu")
GIB = 2**30


def configured(**train: Any) -> Config:
    """A run of one experiment: by default the published case, 30,000 steps of batch 8."""
    given = {
        "use_qlora": False,
        "use_lora": True,
        "batch_size": 8,
        "gradient_accumulation_steps": 1,
        "save_steps": 5000,
    }
    lengths = {} if "epochs" in train else {"max_steps": 30_000}
    one = {
        "family": "qwen2_5_vl",
        "frames": {"count": 8, "height": 224, "width": 224},
        "train": {**given, **lengths, "steps_per_job": 30_000} | train,
    }
    cases = {"draw": {}, "cases": ["case_1", "case_2", "case_3"]}
    return resolve({"run": "twelve-hours", **cases, "experiments": {"published": one}})


def probed(config: Config, seconds: float, **changes: Any) -> Probe:
    """What a probe on an A100 would say: a save of 20 s, 64 s to start, memory of LoRA and of full training."""
    train = config.experiments["published"].train
    return dataclasses.replace(
        Probe(
            experiment="published",
            family="qwen2_5_vl",
            asked=probing.asked(train),
            mode=probing.mode_of(train),
            device="NVIDIA A100-SXM4-80GB",
            gpus=1,
            capacity_bytes=80 * GIB,
            samples=1482,
            memory={
                "lora": Memory(bytes=31 * GIB),
                "full": Memory(bytes=None, at_least=124 * GIB, problem="weights alone"),
            },
            timing=Timing(
                steps=5,
                seconds_per_step=seconds,
                start_seconds=64.0,
                save_seconds=20.0,
                validation_seconds=0.0,
                checkpoint_bytes=2_000_000_000,
                checkpoint_files=9,
                exported_bytes=16_000_000_000,
            ),
            host="node1",
            measured="2026-11-21T12:00:00Z",
        ),
        **changes,
    )


def planned(config: Config, probe: Probe | None, **more: Any) -> Row:
    given = {"book": Ledger(), "samples": None, "limit": HALF_DAY, "gpus": 1} | more
    return planning.plan("published", config.experiments["published"], probe=probe, **given)


def test_thirty_thousand_steps_in_twelve_hours_fit_one_job_at_one_second() -> None:
    config = configured()
    row = planned(config, probed(config, 1.0))
    assert row.problems == [] and row.notes == []
    # 64 s to start, 30,000 steps, 6 saves of 20 s.
    assert row.job_hours == pytest.approx((64 + 30_000 + 6 * 20) / 3600)
    assert row.gpu_hours == row.job_hours and row.source == "probe"
    # The last checkpoint, the two that a job in the making keeps, and the exported model.
    assert row.disk_bytes == 3 * 2_000_000_000 + 16_000_000_000


def test_what_takes_longer_than_the_limit_is_refused_with_what_fits() -> None:
    config = configured()
    row = planned(config, probed(config, 1.6))
    assert len(row.problems) == 1
    assert "30,000 steps at 1.6 s takes 13.4 h, a job may take 12.0 h (the limit of partition gpu)" in row.problems[0]
    fits = int(row.problems[0].split("steps_per_job: ")[1].split()[0])
    again = configured(steps_per_job=fits)
    assert planned(again, probed(again, 1.6)).problems == []
    assert planned(again, probed(again, 1.6)).notes == [], "with slack, too"


def test_what_fits_only_without_slack_is_said_to_be_tight() -> None:
    config = configured()
    row = planned(config, probed(config, 1.35))
    assert row.problems == [] and any("tight" in note for note in row.notes)


def test_auto_divides_the_run_into_equal_jobs_that_fit() -> None:
    config = configured(steps_per_job="auto")
    row = planned(config, probed(config, 1.6))
    assert row.borders == [15_000, 30_000] and row.problems == []
    one_hour = Limit(minutes=60, said_by="the runtime of train_segment")
    short = planned(config, probed(config, 1.6), limit=one_hour)
    jobs = [b - a for a, b in zip([0, *short.borders], short.borders, strict=False)]
    assert short.borders[-1] == 30_000 and max(jobs) - min(jobs) <= len(jobs)
    assert short.job_hours is not None and 1.15 * short.job_hours < 0.95


def test_a_new_plan_leaves_finished_jobs_where_they_end() -> None:
    config = configured(steps_per_job="auto")
    row = planned(config, probed(config, 3.2), finished=[15_000])
    assert row.borders[0] == 15_000 and row.borders[-1] == 30_000
    assert len(row.borders) > 2, "what is left is divided anew, for the slower card"


def test_finished_jobs_count_only_with_these_options(tmp_path: Path) -> None:
    config = configured(steps_per_job="auto")
    train = config.experiments["published"].train
    for segment, step in ((1, 700), (2, 1400)):
        card = {"step": step, "stopped": None, "identity": {**train.model_dump(), "family": "qwen2_5_vl"}}
        files.write_json(tmp_path / f"segment-{segment}" / "suture.json", card)
    assert planning.finished_borders(tmp_path, train) == [700, 1400]
    other = configured(steps_per_job="auto", learning_rate=1.0).experiments["published"].train
    assert planning.finished_borders(tmp_path, other) == []


def test_a_job_too_short_for_one_step_is_refused() -> None:
    config = configured(steps_per_job="auto")
    row = planned(config, probed(config, 1.0), limit=Limit(minutes=2, said_by="the limit of partition gpu"))
    assert row.borders == [] and "not one step fits a job of 2 min" in row.problems[0].replace("120 s", "2 min")


def test_epochs_become_steps_where_everybody_can_see_it() -> None:
    config = configured(epochs=2, batch_size=4, gradient_accumulation_steps=8, steps_per_job=100)
    row = planned(config, None, samples=1482)
    assert row.steps == 93, "as train.py --num-epochs counts: ceil(1482 x 2 / 32)"
    assert row.arithmetic == "2 epochs x 1,482 samples / (4 x 8) a step = 93 steps"
    unknown = planned(config, None)
    assert unknown.steps is None and "once the split is made" in unknown.arithmetic


def test_without_a_probe_it_is_said_that_nobody_measured() -> None:
    row = planned(configured(), None)
    assert row.source == "not measured" and row.job_hours is None and row.disk_bytes is None
    assert any("not measured, there is no probe yet" in note for note in row.notes)


def test_a_probe_of_other_settings_is_an_estimate() -> None:
    before = configured(batch_size=4)
    row = planned(configured(), probed(before, 0.5))
    assert row.source == "estimated" and row.pace is not None
    assert row.pace.seconds_per_step == 1.0, "twice the samples a step"
    assert any("other batch_size" in note for note in row.notes)


def test_times_of_a_cpu_are_an_estimate_for_a_gpu() -> None:
    config = configured()
    row = planned(config, probed(config, 1.0, gpus=0, device="a processor"))
    assert row.source == "estimated" and row.gpu_hours is None


def test_training_itself_is_a_measurement() -> None:
    entry = Ledger(entries=[done_entry()])
    row = planned(configured(), None, book=entry)
    assert row.source == "ledger" and row.pace is not None and row.pace.seconds_per_step == 1.25


def done_entry(**changes: Any) -> ledger.Entry:
    plain: dict[str, Any] = {
        "experiment": "published", "segment": 1, "first_step": 0, "last_step": 1000, "until_step": 1000,
        "outcome": "done", "reason": "", "commit": None, "changed": None, "code": "c", "config": "c", "lock": None,
        "versions": {}, "inputs": {}, "seeds": {}, "host": "node1", "device": "A100", "gpus": 1, "threads": 1,
        "seconds_per_step": 1.25, "samples_per_second": 6.4, "gpu_bytes": GIB, "resident_bytes": GIB, "slurm": {},
        "started": "2026-11-21T12:00:00Z", "ended": "2026-11-21T12:22:00Z", "wall_seconds": 1320.0, "gpu_hours": 0.37,
    }  # fmt: skip
    return ledger.Entry(**plain | changes)


def test_a_batch_that_does_not_fit_the_card_is_refused_with_what_would() -> None:
    config = configured()
    memory = {"lora": Memory(bytes=None, problem="out of memory: 91.0 GiB, there are 79.1 GiB; batch_size 4 fits")}
    row = planned(config, probed(config, 1.0, memory=memory, timing=None))
    assert any("lora training does not fit" in problem and "batch_size 4" in problem for problem in row.problems)


def test_the_table_shows_everything_in_a_hundred_columns() -> None:
    config = configured()
    rows = [planned(config, probed(config, 1.6)), planned(configured(epochs=2), None)]
    rows += [dataclasses.replace(rows[0], experiment="a-name-that-is-much-too-long-for-its-column")]
    printed = table(rows)
    assert max(map(len, printed.splitlines())) <= WIDTH == 100
    for wanted in (
        "30000",
        "1.6",
        "13.4 h",
        "12.0 h",
        "13.",
        "CANNOT FIT",
        "lora 31.00 GiB",
        "of 80.0 GiB",
        "more than there is",
    ):
        assert wanted in " ".join(printed.split()), wanted


def test_a_refused_plan_is_exit_code_two_and_no_plan_is_written(tmp_path: Path) -> None:
    config = configured(steps_per_job=30_000)
    probe = probed(config, 1.6)
    # Its files are small, so that only the hours decide, however full the disk of whoever runs this test is.
    small = dataclasses.replace(probe.timing, checkpoint_bytes=1000, exported_bytes=1000)
    probe = dataclasses.replace(probe, timing=small)
    probing.write(probing.path_of(tmp_path / "results" / "twelve-hours", "published"), probe)
    files.write_text(tmp_path / "config.yaml", config.model_dump_json(exclude_none=True))
    out = ["--experiment", "published", "--output", "plan.json"]
    said = run_script("plan", "--runtime", 720, "--gpus", 1, *out, code=2, cwd=tmp_path)
    assert "CANNOT FIT" in said and "published cannot fit" in said
    assert not (tmp_path / "plan.json").exists()
    assert "CANNOT FIT" not in run_script("plan", "--runtime", 2000, "--gpus", 1, cwd=tmp_path)


def test_a_plan_settles_the_config_until_what_it_answered_changes(tmp_path: Path) -> None:
    raw = {"experiments": {"published": {"train": {"epochs": 2, "steps_per_job": "auto", "batch_size": 4}}}}
    train = raw["experiments"]["published"]["train"]
    assert schedule.settle(raw, tmp_path).waiting == {"published": "not planned yet"}
    plan = schedule.Plan(asked=schedule.asked(train), max_steps=93, borders=[50, 93], samples=1482)
    files.write_json(schedule.path_of(tmp_path, "published"), dataclasses.asdict(plan))
    settled = schedule.settle(raw, tmp_path)
    assert settled.raw["experiments"]["published"]["train"] == {"max_steps": 93, "steps_per_job": 50, "batch_size": 4}
    assert settled.plans["published"].borders == [50, 93] and "epochs" in train, "the original is left as it was"
    train["epochs"] = 3
    assert schedule.settle(raw, tmp_path).waiting == {"published": "planned for other settings"}
    train["epochs"] = 2
    files.write_json(tmp_path / "manifests" / "split" / "split.json", {"counts": {"train": {"samples": 1500}}})
    assert "planned for 1,482 training samples, there are 1,500" in schedule.settle(raw, tmp_path).waiting["published"]


@pytest.mark.parametrize(
    ("written", "minutes"),
    [("infinite", None), ("12:00:00", 720), ("1-00:00:00", 1440), ("2-12", 3600), ("30:00", 30), ("30", 30)],
)
def test_limits_as_slurm_writes_them(written: str, minutes: float | None) -> None:
    assert cluster.minutes(written) == minutes


@pytest.mark.parametrize(
    ("written", "minutes"), [(600, 600), ("12h", 720), ("1d12h", 2160), ("90m", 90), ("attempt * 60", None)]
)
def test_runtimes_as_profiles_write_them(written: object, minutes: float | None) -> None:
    assert profiles.minutes(written) == minutes
