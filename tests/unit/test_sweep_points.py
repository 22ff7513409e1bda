"""The points of a sweep: what a grid or a list becomes, and what is refused before anything is submitted."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import ROOT
from suture.config.schedule import ASKED
from suture.errors import ConfigError, InputError
from suture.files import write_json
from suture.sweeps.points import expand, grid, listed

RUN = Path("results/tiny")


@pytest.fixture
def tiny() -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load((ROOT / "tests/dag/tiny.yaml").read_text())
    return raw


def test_a_grid_is_all_combinations_and_values_are_what_they_look_like() -> None:
    points = grid(["train.learning_rate=1e-4,0.0002", "train.augment=true,no"])
    assert points == [
        {"train.learning_rate": rate, "train.augment": augment} for rate in (1e-4, 2e-4) for augment in (True, False)
    ]
    assert grid(['train.lora_targets="q_proj,v_proj",all-linear', "cases=[a, b]"]) == [
        {"train.lora_targets": targets, "cases": ["a", "b"]} for targets in ("q_proj,v_proj", "all-linear")
    ]


@pytest.mark.parametrize("words", [["train.r"], ["train.r="], ["=8"], ["train.r=[8"], ["train.r=8", "train.r=16"]])
def test_what_is_no_axis_is_refused(words: list[str]) -> None:
    with pytest.raises(InputError, match="--set"):
        grid(words)


def test_points_stand_beside_the_runs_own_experiments(tiny: dict[str, Any]) -> None:
    before = copy.deepcopy(tiny)
    sweep = expand(tiny, "two", grid(["train.learning_rate=1e-4,2e-4", "train.r=4,8"]), run=RUN)
    assert tiny == before
    assert [point.name for point in sweep.points] == [
        f"two.learning_rate-{rate}.r-{rank}" for rate in ("0.0001", "0.0002") for rank in (4, 8)
    ]
    assert list(sweep.raw["experiments"]) == ["one", "two", "three", *(point.name for point in sweep.points)]
    last = sweep.config.experiments["two.learning_rate-0.0002.r-8"]
    assert (last.train.learning_rate, last.train.r, last.train.max_steps) == (2e-4, 8, 4)
    assert last.family == "llava_next_video" and last.cache_features
    assert {key: sweep.raw[key] for key in before if key != "experiments"} == {
        key: before[key] for key in before if key != "experiments"
    }


def test_points_have_no_baselines_unless_asked_for(tiny: dict[str, Any]) -> None:
    wanted = grid(["train.learning_rate=1e-3"])
    assert expand(tiny, "one", wanted, run=RUN).config.experiments["one.learning_rate-0.001"].baselines == []
    kept = expand(tiny, "one", wanted, run=RUN, baselines=True).config.experiments["one.learning_rate-0.001"]
    assert kept.baselines == ["zero_shot", "metadata"]


def test_keys_that_end_alike_are_called_in_full(tiny: dict[str, Any]) -> None:
    (point,) = expand(tiny, "one", grid(["train.batch_size=2", "predict.batch_size=4"]), run=RUN).points
    assert point.name == "one.train.batch_size-2.predict.batch_size-4"


def test_values_that_cannot_stand_in_a_file_name_stay_apart(tiny: dict[str, Any]) -> None:
    names = [p.name for p in expand(tiny, "two", grid(['train.lora_targets="re:a","re:a|b","re:a*b"']), run=RUN).points]
    assert len(set(names)) == 3 and all(
        name.replace(".", "").replace("-", "").replace("_", "").isalnum() for name in names
    )


def test_repeats_of_an_experiment_are_repeats_of_its_points(tiny: dict[str, Any]) -> None:
    tiny["experiments"]["two"]["seeds"] = [1, 2]
    sweep = expand(tiny, "two", grid(["train.r=4"]), run=RUN)
    assert sweep.runs(sweep.points[0]) == ["two.r-4.seed-1", "two.r-4.seed-2"]


def test_a_digest_is_of_the_points_own_settings(tiny: dict[str, Any]) -> None:
    def digests(*words: str) -> dict[str, str]:
        sweep = expand(tiny, "one", grid(list(words)), run=RUN)
        return {point.name: sweep.digest(point) for point in sweep.points}

    few, more = digests("train.learning_rate=1e-3"), digests("train.learning_rate=1e-3,2e-3")
    assert few.items() <= more.items() and len(set(more.values())) == 2
    tiny["experiments"]["one"]["train"]["weight_decay"] = 0.5
    assert digests("train.learning_rate=1e-3").keys() == few.keys()
    assert digests("train.learning_rate=1e-3") != few


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("train.learning_ratee=1e-3", "learning_ratee is not a key; did you mean  learning_rate: ?"),
        ("train.batch_size=4,none", 'batch_size: "none" is not allowed'),
        ("train.precision=fp32,fp64", "'fp32', 'bf16' or 'fp16'"),
        ("family=qwen2_5_vll", "did you mean 'qwen2_5_vl'?"),
        ("family.name=x", "family holds no keys"),
        ("train.r=4", "would do nothing"),
    ],
)
def test_a_point_that_cannot_be_is_named_with_what_could(tiny: dict[str, Any], word: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        expand(tiny, "one", grid([word]), run=RUN)
    assert told in str(refused.value)


def test_an_experiment_is_named_where_there_are_several(tiny: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="there is no experiment 'tow'; did you mean 'two'"):
        expand(tiny, "tow", grid(["train.r=4"]), run=RUN)
    with pytest.raises(ConfigError, match="which experiment is varied"):
        expand(tiny, None, grid(["train.r=4"]), run=RUN)


def test_a_point_may_not_be_something_else_of_the_run(tiny: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"one.zero_shot is the name of something else"):
        expand(tiny, "one", {"zero_shot": {"train.learning_rate": 1e-3}}, run=RUN)
    with pytest.raises(InputError, match="two points are called"):
        expand(tiny, "one", grid(["train.learning_rate=1e-3,0.001"]), run=RUN)


def test_a_list_names_its_points(tiny: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "points.yaml"
    path.write_text("small: {train: {learning_rate: 1e-4, batch_size: 2}}\nlarge:\n  train.learning_rate: 0.01\n")
    sweep = expand(tiny, "one", listed(path), run=RUN)
    assert [(p.name, p.values) for p in sweep.points] == [
        ("one.small", {"train.learning_rate": 1e-4, "train.batch_size": 2}),
        ("one.large", {"train.learning_rate": 0.01}),
    ]
    assert sweep.keys == ["train.learning_rate", "train.batch_size"]
    path.write_text("- learning_rate: 3\n")
    with pytest.raises(InputError, match="not a list of points"):
        listed(path)


def test_steps_left_to_the_plan_are_those_of_the_experiment(tiny: dict[str, Any], tmp_path: Path) -> None:
    train = tiny["experiments"]["one"]["train"]
    del train["max_steps"]
    train |= {"epochs": 2, "steps_per_job": "auto"}
    with pytest.raises(ConfigError, match="left to `snakemake plan`"):
        expand(tiny, "one", grid(["train.learning_rate=1e-3"]), run=tmp_path)
    told = {name: train.get(name) for name in ASKED} | {"max_steps": 0}
    plan = {"asked": told, "max_steps": 6, "borders": [4, 6], "samples": None, "schema": 1}
    write_json(tmp_path / "plans" / "one.json", plan)
    (made,) = [
        one
        for name, one in expand(
            tiny, "one", grid(["train.learning_rate=1e-3"]), run=tmp_path
        ).config.experiments.items()
        if name.startswith("one.")
    ]
    assert (made.train.max_steps, made.train.steps_per_job) == (6, 4)
