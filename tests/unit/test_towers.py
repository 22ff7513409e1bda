"""Which parameter is whose, what is frozen, what learns how fast."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from suture.config.training import Train
from suture.errors import SutureError
from suture.models.base import VideoModel
from suture.training import towers

TOWERS = {"vision": ("visual",), "projector": ("visual.merger",), "language": ("language", "head")}


def options(**changed: Any) -> Train:
    return Train(**{"max_steps": 4, "steps_per_job": 4, **changed})


def model(unused: tuple[str, ...] = ()) -> VideoModel:
    visual = torch.nn.ModuleDict({"block": torch.nn.Linear(3, 3), "last": torch.nn.Linear(3, 3)})
    visual["merger"] = torch.nn.Linear(3, 2)
    parts = {"visual": visual, "language": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 5, bias=False)}
    found = SimpleNamespace(model=torch.nn.ModuleDict(parts), towers=TOWERS, unused=unused)
    return cast(VideoModel, found)


def test_the_longest_name_decides_and_similar_names_do_not_count() -> None:
    assert towers.tower_of("visual.merger.weight", TOWERS) == "projector"
    assert towers.tower_of("visual.block.weight", TOWERS) == "vision"
    assert towers.tower_of("base_model.model.head.lora_A.default.weight", TOWERS) == "language"
    with pytest.raises(SutureError, match=r"visually\.x belongs to no tower"):
        towers.tower_of("visually.x", TOWERS)


def test_frozen_and_unused_parts_are_not_trained_and_are_counted() -> None:
    made = model(unused=("visual.last",))
    counts = towers.freeze(made, ["language"])
    assert counts == {"total": 48, "vision": 24, "projector": 8, "language": 16, "trainable": 20}
    trained = [name for name, parameter in made.model.named_parameters() if parameter.requires_grad]
    assert trained == ["visual.block.weight", "visual.block.bias", "visual.merger.weight", "visual.merger.bias"]
    assert towers.freeze(made, [])["trainable"] == 36


def test_each_tower_has_its_own_rate_and_biases_do_not_decay() -> None:
    made = model()
    towers.freeze(made, ["projector"])
    rates = options(learning_rate=1e-3, vision_learning_rate=1e-5, weight_decay=0.1)
    decayed = {name for name, _ in made.model.named_parameters() if name.endswith("weight")}
    groups = towers.parameter_groups(made.model, TOWERS, rates, decayed)
    sizes = [(sum(p.numel() for p in g["params"]), g["lr"], g["weight_decay"]) for g in groups]
    assert sizes == [(18, 1e-5, 0.1), (6, 1e-5, 0.0), (14, 1e-3, 0.1), (2, 1e-3, 0.0)]
