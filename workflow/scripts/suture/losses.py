"""Losses over classes: cross-entropy and the focal loss, each row weighted by its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from suture.config.training import Train
from suture.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How far logits are from a class: ``w_y (1 - p_y)^gamma (- log p_y)``, with ``p = softmax(logits)``.

    Lin et al., Focal Loss for Dense Object Detection (ICCV 2017). With
    ``gamma`` 0 and no weights it is cross-entropy.

    Attributes:
        gamma: how much less the rows count that are sure of the right class.
        weights: of the classes, in their order; (): all 1.
    """

    gamma: float = 0.0
    weights: tuple[float, ...] = ()

    def __call__(self, logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Returns the loss of each row: logits [rows, classes], classes [rows] -> [rows], in single precision."""
        surprise = cross_entropy(logits.float(), classes, reduction="none")
        if self.gamma:
            # 1 - exp(-x) by expm1: near 0 the difference of two almost equal numbers has no digits left.
            surprise = (-torch.expm1(-surprise)) ** self.gamma * surprise
        if self.weights:
            surprise = surprise * torch.tensor(self.weights, device=logits.device)[classes]
        return surprise


def loss_of(options: Train, classes: Sequence[str], answers: Sequence[str]) -> Loss:
    """Returns the loss of a run.

    ``focal_alpha`` weighs the second of two classes, and the first by what is
    left to 1, as published. ``class_weights: balanced`` gives class ``k``
    ``N / (K n_k)``, so that the weights of the training rows have the mean 1.
    Both together multiply.

    Args:
        options: of the run.
        classes: names in the order of the logits.
        answers: gold answers of the training rows.

    Raises:
        InputError: focal_alpha with more than two classes, another number of
            weights than classes, or a class to balance that no row has.
    """
    weights = [1.0] * len(classes)
    focal = options.loss_function == "focal_loss"
    if focal and options.focal_alpha is not None:
        if len(classes) != 2:
            raise InputError(
                f"focal_alpha weighs the second of two classes; here are {len(classes)}",
                fix="leave focal_alpha out and use class_weights: balanced, or numbers",
            )
        weights = [1 - options.focal_alpha, options.focal_alpha]
    if options.class_weights is not None:
        own = options.numbers_of_classes() or _balanced(classes, answers)
        if len(own) != len(classes):
            raise InputError(f"{len(own)} class_weights for {len(classes)} classes: {', '.join(classes)}")
        weights = [a * b for a, b in zip(weights, own, strict=True)]
    return Loss(gamma=options.focal_gamma if focal else 0.0, weights=() if set(weights) == {1.0} else tuple(weights))


def _balanced(classes: Sequence[str], answers: Sequence[str]) -> list[float]:
    counts = Counter(answers)
    if absent := [name for name in classes if not counts[name]]:
        raise InputError(f"class_weights: balanced, but no training sample is of class {absent[0]!r}")
    return [len(answers) / (len(classes) * counts[name]) for name in classes]
