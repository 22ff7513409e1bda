"""One experiment for each category of images, made of configuration and counts (suture/config/categories.py)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from fetal_sheets import ANSWERS, merged
from suture.config import categories
from suture.config.load import resolve
from suture.errors import ConfigError

COUNTS = {"Femur": 10, "Standard_NT": 4, "Non_standard_NT": 6}


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, Any]:
    merged(
        tmp_path / "all.xlsx",
        [(name, f"{name}_{n}.png", ANSWERS) for name, count in COUNTS.items() for n in range(count)],
    )
    train = {"max_steps": 9, "steps_per_job": 3, "batch_size": 2, "gradient_accumulation_steps": 2}
    return {
        "dataset": "fetal_ultrasound",
        "annotations": str(tmp_path),
        "videos": str(tmp_path),
        "qa": {"backend": "annotation", "questions": "apart"},
        "each_category": {"family": "blip2", "frames": {"count": 1}, "train": train},
        "experiments": {"joint": {"family": "blip2", "frames": {"count": 1}, "train": dict(train)}},
    }


def test_each_category_has_its_experiment_smallest_first(raw: dict[str, Any]) -> None:
    before = copy.deepcopy(raw)
    made = categories.expand(raw)
    assert raw == before
    assert list(made["experiments"]) == ["joint", "Standard_NT", "Non_standard_NT", "Femur"]
    assert made["experiments"]["Standard_NT"]["cases"] == ["Standard_NT_*"]
    config = resolve(made)
    assert config.cases is None and config.each_category is None
    assert {one.train.max_steps for one in config.experiments.values()} == {9}
    assert config.experiments["Femur"].train.lora_targets == "q_proj,v_proj"
    assert categories.expand(made) == made


def test_a_run_without_these_keys_is_left_as_it_is(raw: dict[str, Any]) -> None:
    plain = {key: value for key, value in raw.items() if key != "each_category"}
    assert categories.expand(plain) is plain


def test_the_published_overrides_reach_every_experiment(raw: dict[str, Any]) -> None:
    made = categories.expand({**raw, "num_images": 5, "num_epochs": 1, "batch_size": 1, "learning_rate": 2e-4})
    config = resolve(made)
    assert len(config.cases or []) == 5 + 5 + 4
    steps = {name: one.train.max_steps for name, one in config.experiments.items()}
    # images x 8 questions x 0.5, in steps of 1 x 2: of four images one is kept to validate and one to test
    assert config.split.fractions == (0.5, 0.25, 0.25)
    assert steps == {"joint": 28, "Standard_NT": 8, "Femur": 10, "Non_standard_NT": 10}
    assert config.experiments["joint"].train.steps_per_job == 3
    assert {one.train.batch_size for one in config.experiments.values()} == {1}
    assert {one.train.learning_rate for one in config.experiments.values()} == {2e-4}
    fewer = resolve(categories.expand({**raw, "num_images": 3})).cases or []
    assert set(fewer) < set(config.cases or []), "more images are those of before, and others"


def test_one_category_alone(raw: dict[str, Any]) -> None:
    made = resolve(categories.expand({**raw, "categories": ["Femur"]}))
    assert list(made.experiments) == ["joint", "Femur"]
    assert made.cases == [f"Femur_{n}" for n in range(10)]


def test_whole_conversations_are_counted_as_one_sample_each(raw: dict[str, Any]) -> None:
    made = categories.expand({**raw, "qa": {"backend": "annotation"}, "num_epochs": 3})
    assert made["experiments"]["Femur"]["train"]["max_steps"] == 6  # 10 x 0.8 x 3 / 4


def test_cases_that_no_pattern_tells_apart_are_named(tmp_path: Path, raw: dict[str, Any]) -> None:
    merged(tmp_path / "more.xlsx", [("Femur_left", "Femur_left_1.png", ANSWERS)])
    made = categories.expand(raw)["experiments"]
    assert made["Femur"]["cases"] == [f"Femur_{n}" for n in range(10)]
    assert made["Femur_left"]["cases"] == ["Femur_left_*"]


def test_drawn_categories_are_counted_before_they_are_drawn(raw: dict[str, Any]) -> None:
    drawn = {key: value for key, value in raw.items() if key not in ("annotations", "videos")}
    drawn |= {"draw": {"kind": "ultrasound", "images": 4}, "categories": ["Abdomen", "Femur"], "num_images": 3}
    config = resolve(categories.expand(drawn))
    assert len(config.cases or []) == 6 and config.categories == ["Abdomen", "Femur"]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"categories": ["Femurs"]}, r"'Femurs' has no labelled image; did you mean 'Femur'\?"),
        ({"num_images": 0}, "num_images: 0 is not allowed"),
        ({"num_epochs": "three"}, "num_epochs"),
        ({"dataset": "table"}, "the images of dataset 'table' have no categories"),
    ],
)
def test_what_cannot_be_made_is_said(raw: dict[str, Any], changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        categories.expand({**raw, **changed})


def test_a_template_with_a_wrong_key_is_refused_by_its_name(raw: dict[str, Any]) -> None:
    raw["each_category"]["trian"] = raw["each_category"].pop("train")
    with pytest.raises(ConfigError, match=r"experiments.Femur.trian is not a key; did you mean  train: \?"):
        resolve(categories.expand(raw))


def test_a_name_is_not_given_twice(raw: dict[str, Any]) -> None:
    raw["experiments"]["Femur"] = raw["experiments"].pop("joint")
    with pytest.raises(ConfigError, match=r"experiments\.Femur is made by each_category"):
        categories.expand(raw)


def test_what_is_written_down_of_a_run_is_a_configuration_again(raw: dict[str, Any]) -> None:
    """The DAG is drawn from config.resolved.yaml, which names every default."""
    resolved = resolve(categories.expand(raw))
    written = resolved.model_dump(mode="json", exclude_none=True)
    assert resolve(categories.expand(written)) == resolved
