"""When a run ends early, and which weights were best: functions of the history."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from suture.config.training import Train, with_family_defaults
from suture.training.stopping import best_step, reason_to_stop


def options(**changed: Any) -> Train:
    return Train(**{"max_steps": 100, "steps_per_job": 100, **changed})


def evaluated(*losses: float) -> list[dict[str, Any]]:
    return [{"step": 10 * n, "eval_loss": loss} for n, loss in enumerate(losses, start=1)]


def trained(*losses: float) -> list[dict[str, Any]]:
    return [{"step": n, "loss": loss} for n, loss in enumerate(losses, start=1)]


def test_patience_counts_evaluations_since_the_lowest_loss() -> None:
    patient = options(eval_steps=10, early_stopping_patience=2)
    assert reason_to_stop(evaluated(3.0, 2.0, 2.5), patient) is None
    said = reason_to_stop(evaluated(3.0, 2.0, 2.5, 2.0), patient)
    assert said is not None
    assert "lowest at step 20 (2.0000)" in said
    assert "2 evaluations" in said
    assert reason_to_stop(evaluated(3.0, 2.0, 2.5, 1.9), patient) is None
    assert reason_to_stop(evaluated(3.0, 2.0, 2.5, 2.6, 2.7), options(eval_steps=10)) is None
    assert best_step(evaluated(3.0, 2.0, 2.5, 2.0)) == 20
    assert best_step(trained(1.0)) is None


def test_a_plateau_is_seen_at_the_end_of_a_window_only() -> None:
    level = options(plateau_steps=10)
    falling = [2.0 - 0.05 * n for n in range(20)]
    assert reason_to_stop(trained(*falling), level) is None
    assert reason_to_stop(trained(*[1.0] * 19), level) is None
    assert "stopped falling: 1.0000, then 1.0000" in str(reason_to_stop(trained(*[1.0] * 20), level))
    assert reason_to_stop(trained(*[1.0] * 21), level) is None
    assert reason_to_stop(trained(*[1.0] * 10, *[0.99] * 10), level) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"early_stopping_patience": 2}, "`early_stopping_patience` needs validation losses"),
        ({"keep_best": True}, "`keep_best` needs validation losses"),
        ({"packing": True, "batch_size": 1}, "`packing` would do nothing"),
        ({"group_by_length": True, "batch_size": 1}, "`group_by_length` would do nothing"),
        ({"freeze_vision": True, "use_lora": True}, "`freeze_vision` would do nothing"),
        ({"freeze_vision": True, "freeze_projector": True, "freeze_language": True}, "nothing would be trained"),
        ({"freeze_vision": True, "vision_learning_rate": 1e-5}, "`vision_learning_rate` would do nothing"),
        ({"use_lora": True, "projector_learning_rate": 1e-5}, "`projector_learning_rate` would do nothing"),
        ({"use_dora": True}, "`use_dora` would do nothing"),
        ({"use_lora": True, "lora_targets": "re:x", "lora_vision_targets": "qkv"}, "both say"),
        ({"use_lora": True, "lora_vision_targets": "re:x"}, "`lora_targets: re:"),
        ({"attention": "flash_attention_2", "precision": "fp32"}, "use attention: sdpa"),
        ({"attention": "eager", "packing": True}, "use attention: sdpa"),
    ],
)
def test_options_that_would_do_nothing_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        options(**given)


def test_family_defaults_stand_where_nothing_is_given() -> None:
    published = {"use_qlora": True, "r": 16, "learning_rate": 1e-5, "num_epochs": 2}
    assert with_family_defaults({"max_steps": 3}, published) == {
        "max_steps": 3,
        "use_qlora": True,
        "r": 16,
        "learning_rate": 1e-5,
    }
    assert with_family_defaults({"use_lora": True, "r": 4}, published) == {
        "use_lora": True,
        "r": 4,
        "learning_rate": 1e-5,
    }
    # Full training: the published rank says nothing. A rank the user gave is left to be refused.
    assert with_family_defaults({"use_qlora": False}, published) == {"use_qlora": False, "learning_rate": 1e-5}
    assert with_family_defaults({"use_qlora": False, "r": 4}, published)["r"] == 4
