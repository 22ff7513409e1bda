"""Configuration errors are read by people who have no time: key, value, what is allowed, a right line."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from support import ROOT
from suture.config.flags import add_flags, from_args, to_flags
from suture.config.load import resolve
from suture.config.prediction import Predict
from suture.config.training import Train
from suture.errors import ConfigError

DEMO: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())


def refusal(**changes: Any) -> str:
    """What the user reads when these dotted keys of the demo are set."""
    raw = copy.deepcopy(DEMO)
    for dotted, value in changes.items():
        *path, last = dotted.split("__")
        section = raw
        for key in path:
            section = section.setdefault(key, {})
        section[last] = value
    with pytest.raises(ConfigError) as caught:
        resolve(raw)
    return str(caught.value)


def test_the_demo_is_a_valid_configuration() -> None:
    config = resolve(DEMO)
    assert config.run == "demo"
    assert config.cut.mode == "exact", "a default is filled in"


def test_an_unknown_key_names_the_nearest_right_one() -> None:
    assert "expermients is not a key; did you mean  experiments: ?" in refusal(expermients={})
    text = refusal(**{"experiments__qwen-small__train__learning_rat": 1e-4})
    assert "experiments.qwen-small.train.learning_rat is not a key; did you mean  learning_rate: ?" in text


def test_an_unknown_key_like_no_other_lists_what_is_there() -> None:
    assert "draw.zzz is not a key; here are: clips, fps, images, kind, seed, size" in refusal(draw__zzz=1)


def test_a_wrong_value_shows_what_is_allowed_and_a_right_line() -> None:
    text = refusal(cut={"mode": "fast"})
    assert "cut.mode: \"fast\" is not allowed; allowed: 'exact' or 'published'; for example  mode: \"exact\"" in text


def test_a_missing_key_is_shown_with_an_example() -> None:
    raw = copy.deepcopy(DEMO)
    del raw["experiments"]["qwen-small"]["train"]["steps_per_job"]
    with pytest.raises(ConfigError, match=r"train.steps_per_job is missing; add, for example:  steps_per_job: 200"):
        resolve(raw)


def test_all_problems_are_reported_at_once() -> None:
    text = refusal(shards=0, split={"fractions": [0.5, 0.1, 0.1]})
    assert "shards: 0 is not allowed" in text and "fractions sum to 0.7" in text


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"folds": 5}, "`folds` (or `official_folds`) and `fold` go together"),
        ({"folds": 5, "fold": 5}, "fold 5 does not exist"),
    ],
)
def test_folds_are_checked(section: dict[str, int], words: str) -> None:
    assert words in refusal(split=section)


def test_flags_carry_a_section_to_a_command_and_back() -> None:
    import argparse

    section = Train(max_steps=30, steps_per_job=10, learning_rate=3e-5, augment=True, precision="fp32")
    parser = argparse.ArgumentParser()
    add_flags(parser, Train)
    assert from_args(parser.parse_args(to_flags(section).split()), Train) == section


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("experiments__qwen-small__family", "qwen2_5", "did you mean 'qwen2_5_vl'?"),
        ("experiments__qwen-small__model", "Qwen/Qwen2.5-VL-7B-Instruct", "a hub model needs its commit:  revision:"),
        ("experiments__qwen-small__revision", "abc", "`revision` is of a hub model"),
        ("dataset", "cataract", "unknown dataset adapter 'cataract'; did you mean 'cataract1k'?"),
        ("dataset", "table", "draw.kind surgery makes files of cataract1k: set it as `dataset`"),
        ("cases", [], "cases: [] is not allowed"),
        ("cases", ["case_9001", "case_9002", "case_9001"], "case_9001 is named twice"),
        ("shards", "2", 'shards: "2" is not allowed'),
        ("split__unit", "clip", None),
        ("split", {"unit": "clip", "folds": 5, "fold": 0}, "with unit: clip leave it out"),
        ("split", {"fractions": [0.9, 0.1, 0.0]}, "is asked the test questions, of which split.fractions leave none"),
        ("qa", {"backend": "annotation", "wordings": 2}, "wordings would be ignored"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(key: str, value: object, words: str | None) -> None:
    """A setting that some job would refuse hours later, or that no job would read."""
    if words is None:
        resolve({**DEMO, "split": {"unit": value}})
    else:
        assert words in refusal(**{key: value})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"choices": "labels.json", "temperature": 0.5}, "with `choices`, `temperature` would do nothing"),
        ({"choices": "labels.json", "settings": "published"}, "with `choices`, `settings` would do nothing"),
        ({"normalisation": "mean"}, "`normalisation` would do nothing without `choices`"),
        ({"score_end": False}, "`score_end` would do nothing without `choices`"),
    ],
)
def test_an_answer_is_written_or_chosen(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Predict(**given)


def test_a_way_to_answer_hands_on_its_own_options() -> None:
    written, chosen = Predict(), Predict(choices="a b.txt", normalisation="mean")
    assert to_flags(chosen, leave_out=frozenset({"split", "num_chunks"}) | chosen.without_effect) == (
        "--batch-size 16 --history own --choices 'a b.txt' --normalisation mean --score-end"
    )
    assert "--choices" not in (
        flags := to_flags(written, leave_out=frozenset({"split", "num_chunks"}) | written.without_effect)
    )
    assert "--normalisation" not in flags
    assert "--score-end" not in flags
    assert "--max-new-tokens 64" in flags
    # A resolved configuration names every default, and is one that can be run.
    for one in (written, chosen):
        assert Predict(**one.model_dump()) == one


def test_experiments_that_see_other_frames_have_other_caches() -> None:
    from suture.config.frames import Frames

    keys = {Frames(fps=fps).key for fps in (29.97, 29.97002997, 30)} | {
        Frames(count=8).key,
        Frames(count=8, width=56).key,
    }
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("second", "third", "words"),
    [
        ({"init_from": "qwen-smal"}, {}, "there is no 'qwen-smal'; did you mean 'qwen-small'?"),
        ({"init_from": "qwen-small", "model": "a/b"}, {}, "`init_from` names the base model: leave out model: a/b"),
        ({"init_from": "third"}, {"init_from": "second"}, "init_from goes round: second from third from second"),
        (
            {"init_from": "qwen-small", "family": "llava_next_video"},
            {},
            "is of family qwen2_5_vl, not llava_next_video",
        ),
    ],
)
def test_an_experiment_starts_from_one_that_is_there(second: dict[str, Any], third: dict[str, Any], words: str) -> None:
    one = {key: value for key, value in DEMO["experiments"]["qwen-small"].items() if key != "model"}
    given = {**one, **second}
    assert words in refusal(experiments={**DEMO["experiments"], "second": given, "third": {**one, **third}})


@pytest.mark.parametrize("name", ["config.yaml", "config/demo/endofm.yaml", "config/demo/surgery-sft.yaml"])
def test_a_resolved_configuration_can_be_read_again(name: str) -> None:
    """config.resolved.yaml has each default written out: none of them may read as a contradiction."""
    once = resolve(yaml.safe_load((ROOT / name).read_text())).model_dump(mode="json", exclude_none=True)
    assert resolve(once).model_dump(mode="json", exclude_none=True) == once


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"train": {"use_lora": True}}, "all weights of the classifier are trained"),
        ({"train": {"n_last_blocks": 1, "freeze_vision": True}}, "all blocks as they are"),
        ({"train": {"aug_step_size": None, "max_aug_rounds": 2}}, "`max_aug_rounds` would do nothing"),
        ({"predict": {"split": "val"}}, "`keep_best` chooses weights by the validation data"),
        ({"predict": {"temperature": 0.5}}, "`predict.temperature` would do nothing"),
        ({"predict": {"choices": "labels.txt"}}, "`predict.choices` would do nothing"),
        ({"baselines": ["blind"]}, "the commonest class alone"),
        ({"cache_features": True}, "needs the same frames each time"),
        ({"frames": {"train_sampling": "middle"}}, "`aug_step_size` needs frames.train_sampling"),
    ],
)
def test_what_means_nothing_for_a_classifier_is_refused(given: dict[str, Any], words: str) -> None:
    raw = yaml.safe_load((ROOT / "config/demo/endofm.yaml").read_text())
    one = raw["experiments"]["direct-aug"]
    for key, value in given.items():
        one[key] = {**one.get(key, {}), **value} if isinstance(value, dict) else value
    with pytest.raises(ConfigError) as caught:
        resolve(raw)
    assert words in str(caught.value)
