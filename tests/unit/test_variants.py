"""What experiments stand for in the DAG: repeats over seeds and folds, and the models they are compared with."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from suture.config import variants
from suture.config.load import resolve
from suture.errors import ConfigError

TRAIN = {"max_steps": 4, "steps_per_job": 2, "use_qlora": False, "gradient_checkpointing": False, "augment": True}
RAW: dict[str, Any] = {
    "dataset": "cataract1k",
    "draw": {"kind": "surgery"},
    "cases": ["case_1", "case_2", "case_3"],
    "split": {"folds": 3, "fold": 0},
    "experiments": {
        "a": {"family": "qwen2_5_vl", "frames": {"count": 4}, "train": TRAIN},
        "b": {"family": "llava_next_video", "frames": {"count": 4}, "train": TRAIN},
    },
}


def raw(**changes: Any) -> dict[str, Any]:
    made = copy.deepcopy(RAW)
    made["experiments"]["a"] |= changes
    return made


def asked(**changes: Any) -> dict[str, variants.Asked]:
    return variants.asked(resolve(variants.multiplied(raw(**changes))).experiments)


def test_an_experiment_is_compared_with_what_costs_no_training() -> None:
    found = asked()
    assert found.keys() == {"a", "a.shuffled", "a.zero_shot", "b", "b.shuffled", "b.zero_shot"}
    assert (found["a"].model, found["a"].video) == ("a", "real")
    assert (found["a.shuffled"].model, found["a.shuffled"].video) == ("a", "shuffled")
    assert (found["a.zero_shot"].model, found["a.zero_shot"].video) == ("base/qwen2_5_vl.small", "real")
    assert {one.of for name, one in found.items() if name.startswith("a")} == {"a"}


def test_the_blind_model_is_the_same_family_with_the_same_budget_and_no_video() -> None:
    train = {**TRAIN, "freeze_projector": True, "vision_learning_rate": 1e-4, "seed": 7, "batch_size": 3}
    found = asked(baselines=["blind"], train=train, cache_features=False)
    assert found.keys() == {"a", "a.blind", "b", "b.shuffled", "b.zero_shot"}
    seeing, blind = found["a"].experiment, found["a.blind"].experiment
    assert (found["a.blind"].model, found["a.blind"].video) == ("a.blind", "none")
    assert blind.train.blind and not blind.train.augment and blind.train.vision_learning_rate is None
    same = {"max_steps", "steps_per_job", "batch_size", "learning_rate", "seed", "freeze_projector", "precision"}
    assert blind.train.model_dump(include=same) == seeing.train.model_dump(include=same)
    assert (blind.base_key, blind.frames, blind.predict) == (seeing.base_key, seeing.frames, seeing.predict)


def test_seeds_and_folds_multiply_an_experiment() -> None:
    config = resolve(raw(seeds=[5, 6], folds=[0, 2]))
    names = ["a.seed-5.fold-0", "a.seed-5.fold-2", "a.seed-6.fold-0", "a.seed-6.fold-2"]
    assert variants.repeats(config) == {"a": names}
    runs = resolve(variants.multiplied(raw(seeds=[5, 6], folds=[0, 2]))).experiments
    assert list(runs) == [*names, "b"]
    assert [(runs[name].train.seed, runs[name].folds) for name in names] == [(5, [0]), (5, [2]), (6, [0]), (6, [2])]
    assert runs["b"].folds is None
    found = asked(seeds=[5], baselines=["shuffled"])
    assert found["a.seed-5.shuffled"].of == "a.seed-5"
    assert list(variants.repeats(resolve(raw(seeds=[5]))).values()) == [["a.seed-5"]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [1, 1]}, "1 is named twice"),
        ({"folds": [3]}, "folds: 3 does not exist"),
        ({"folds": [-1]}, "folds: -1 does not exist"),
        ({"baselines": ["blind", "guess"]}, "baselines.1"),
        ({"baselines": ["blind"], "train": {**TRAIN, "freeze_language": True}}, "all three towers are frozen"),
        (
            {"baselines": ["shuffled"], "train": {**TRAIN, "augment": False, "blind": True}},
            "of a blind model is itself",
        ),
        ({"seeds": [1, 2], "push_to_hub": {"repo_id": "me/it"}}, "push_to_hub pushes one model"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve(raw(**changes))


def test_folds_need_a_split_that_has_some() -> None:
    given = raw(folds=[0])
    given["split"] = {"fractions": [0.6, 0.2, 0.2]}
    with pytest.raises(ConfigError, match="the split has none"):
        resolve(given)


@pytest.mark.parametrize("name", ["a.blind", "a.seed-1"])
def test_an_experiment_may_not_have_the_name_of_what_another_makes(name: str) -> None:
    given = raw(baselines=["blind"])
    if name == "a.seed-1":
        given["experiments"]["a"]["seeds"] = [1]
    given["experiments"][name] = copy.deepcopy(given["experiments"]["b"])
    with pytest.raises(ConfigError, match=f"experiments.{name}: so "):
        resolve(given)


def started(**changes: Any) -> dict[str, Any]:
    """The configuration with ``b`` of the family of ``a``, starting from it."""
    given = raw(**changes.pop("a", {}))
    given["experiments"]["b"] |= {"family": "qwen2_5_vl", "init_from": "a", **changes}
    return given


def test_a_repeat_starts_from_the_repeat_of_the_same_seed_and_fold() -> None:
    both = started(a={"seeds": [5, 6], "folds": [0, 1]}, seeds=[5, 6], folds=[1])
    runs = resolve(variants.multiplied(both)).experiments
    starts = {name: one.init_from for name, one in runs.items() if one.init_from}
    assert starts == {"b.seed-5.fold-1": "a.seed-5.fold-1", "b.seed-6.fold-1": "a.seed-6.fold-1"}
    alone = resolve(variants.multiplied(started(seeds=[5, 6]))).experiments
    assert {one.init_from for one in alone.values()} == {None, "a"}
    assert variants.asked(alone)["b.seed-5.zero_shot"].model == "a", "the base of b is what it started from"


@pytest.mark.parametrize(
    "given",
    [
        started(folds=[1]),  # a learnt from cases that fold 1 tests
        started(a={"folds": [0]}, folds=[1]),
        started(a={"folds": [0]}),
        started(a={"seeds": [5]}),
        started(a={"seeds": [5]}, seeds=[6]),
    ],
)
def test_a_start_that_saw_other_cases_or_is_not_one_model_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"experiments\.b\.init_from: repeat 'a' over the same folds"):
        resolve(given)
