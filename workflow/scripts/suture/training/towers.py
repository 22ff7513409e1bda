"""Vision tower, projector, language model: which parameter is whose, what is frozen, what learns how fast."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch

from suture.config.training import Train
from suture.errors import InputError, SutureError
from suture.models.base import VideoModel

Towers = Mapping[str, tuple[str, ...]]

# What the adapter library puts before the names of the model it wraps.
_WRAPPED = "base_model.model."


def is_inside(name: str, modules: Iterable[str]) -> bool:
    """Tells whether a parameter or module is one of some modules, or inside one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def tower_of(name: str, towers: Towers) -> str:
    """Returns the tower that a parameter or module belongs to: the longest module name that fits decides.

    Raises:
        SutureError: none fits: the family's ``towers`` are not those of this model.
    """
    name = name.removeprefix(_WRAPPED)
    fitting = [
        (len(module), tower) for tower, modules in towers.items() for module in modules if is_inside(name, [module])
    ]
    if not fitting:
        raise SutureError(f"{name} belongs to no tower", fix="use the versions of requirements.lock")
    return max(fitting)[1]


def freeze(model: VideoModel, frozen: Collection[str]) -> dict[str, int]:
    """Leaves out of full training whole towers, and what the loss never reaches.

    Args:
        model: the loaded model.
        frozen: names of towers.

    Returns:
        Numbers of all parameters, of trained ones, and of those in each tower.
    """
    module: Any = model.model
    counts = {"total": 0, "trainable": 0, **dict.fromkeys(model.towers, 0)}
    for name, parameter in module.named_parameters():
        tower = tower_of(name, model.towers)
        parameter.requires_grad_(tower not in frozen and not is_inside(name, model.unused))
        counts["total"] += parameter.numel()
        counts[tower] += parameter.numel()
        counts["trainable"] += parameter.numel() * parameter.requires_grad
    expected = sum(counts[tower] for tower in model.towers if tower not in frozen)
    unused = sum(
        parameter.numel()
        for name, parameter in module.named_parameters()
        if is_inside(name, model.unused) and tower_of(name, model.towers) not in frozen
    )
    if not 0 < counts["trainable"] == expected - unused:
        raise SutureError(
            f"{counts['trainable']} parameters would be trained, {expected - unused} follow from freeze_*"
        )
    return counts


def train_rows(model: VideoModel, rows: Sequence[int]) -> int:
    """Trains some rows of a frozen embedding: the gradient of all others is zero.

    Args:
        model: with its language model frozen.
        rows: ids of tokens.

    Returns:
        The number of parameters that are trained so.

    Raises:
        InputError: the model has no such tokens.
    """
    if not rows:
        raise InputError(
            "mm_use_im_start_end: the model's tokenizer has no <im_start> and <im_end>", fix="leave it out"
        )
    module: Any = model.model
    weight: Any = module.get_input_embeddings().weight
    weight.requires_grad_(True)
    chosen = torch.zeros(len(weight), 1, dtype=weight.dtype)
    chosen[list(rows)] = 1
    weight.register_hook(lambda gradient: gradient * chosen.to(gradient))
    width: int = weight.shape[1]
    return len(rows) * width


def parameter_groups(
    model: torch.nn.Module, towers: Towers, options: Train, decayed: Collection[str]
) -> list[dict[str, Any]]:
    """Divides the trained parameters for the optimiser, in an order that is the same each time.

    Args:
        model: perhaps with adapters.
        towers: of its family.
        options: learning rates of the towers, weight decay.
        decayed: names of the parameters that decay.

    Returns:
        For each tower at most two groups, with and without weight decay.
    """
    groups: dict[tuple[str, bool], list[torch.nn.Parameter]] = {
        (tower, decays): [] for tower in towers for decays in (True, False)
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[tower_of(name, towers), name in decayed].append(parameter)
    return [
        {
            "params": parameters,
            "lr": options.learning_rate_of(tower),
            "weight_decay": options.weight_decay if decays else 0.0,
        }
        for (tower, decays), parameters in groups.items()
        if parameters
    ]
