"""Configuration errors are read by people who have no time: key, value, what is allowed, a right line."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from support import ROOT
from suture.config.flags import add_flags, from_args, to_flags
from suture.config.load import resolve
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
    assert "draw.zzz is not a key; here are: fps, kind, seed, size" in refusal(draw__zzz=1)


def test_a_wrong_value_shows_what_is_allowed_and_a_right_line() -> None:
    text = refusal(cut={"mode": "fast"})
    assert "cut.mode: \"fast\" is not allowed; allowed: 'exact' or 'published'; for example  mode: \"exact\"" in text


def test_a_missing_key_is_shown_with_an_example() -> None:
    raw = copy.deepcopy(DEMO)
    del raw["experiments"]["qwen-small"]["train"]["max_steps"]
    with pytest.raises(ConfigError, match=r"train.max_steps is missing; add, for example:  max_steps: 400"):
        resolve(raw)


def test_all_problems_are_reported_at_once() -> None:
    text = refusal(shards=0, split={"fractions": [0.5, 0.1, 0.1]})
    assert "shards: 0 is not allowed" in text and "fractions sum to 0.7" in text


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"folds": 5}, "`folds` and `fold` go together"),
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
