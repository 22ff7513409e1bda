"""Losses over classes against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from suture import libraries
from suture.config.training import Train
from suture.errors import InputError

libraries.prepare(threads=1)

import torch  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

from suture.losses import Loss, loss_of  # noqa: E402

TWO = ("non_referral", "referral")


def logits_of(*chances: float) -> torch.Tensor:
    """Logits of two classes whose second has these probabilities."""
    return torch.tensor([[math.log(1 - p), math.log(p)] for p in chances])


def options(**given: Any) -> Train:
    return Train(**{"max_steps": 1, "steps_per_job": 1, **given})


# Probability of the right class, gamma -> (1 - p)^gamma (-ln p), with a pocket calculator:
# -ln 0.9 = 0.105361, -ln 0.5 = 0.693147, -ln 0.1 = 2.302585.
TABLE = [
    (0.9, 0.0, 0.105361),
    (0.9, 1.0, 0.0105361),
    (0.9, 2.0, 0.00105361),
    (0.5, 0.0, 0.693147),
    (0.5, 1.0, 0.346574),
    (0.5, 2.0, 0.173287),
    (0.1, 0.0, 2.302585),
    (0.1, 1.0, 2.072327),
    (0.1, 2.0, 1.865094),
]


@pytest.mark.parametrize(("chance", "gamma", "expected"), TABLE)
def test_the_focal_loss_is_the_one_worked_out_by_hand(chance: float, gamma: float, expected: float) -> None:
    found = Loss(gamma=gamma)(logits_of(chance, 1 - chance), torch.tensor([1, 0]))
    assert found.tolist() == pytest.approx([expected, expected], rel=1e-5)


def test_the_published_weights_are_alpha_and_what_is_left() -> None:
    loss = loss_of(options(loss_function="focal_loss", focal_gamma=1.0, focal_alpha=0.25), TWO, ["referral"])
    found = loss(logits_of(0.5, 0.5), torch.tensor([1, 0]))
    assert found.tolist() == pytest.approx([0.25 * 0.346574, 0.75 * 0.346574], rel=1e-5)


def test_gamma_0_is_cross_entropy_of_many_classes_and_its_gradient() -> None:
    torch.manual_seed(0)
    logits, classes = torch.randn(64, 5, requires_grad=True), torch.randint(0, 5, (64,))
    loss_of(options(loss_function="focal_loss", focal_gamma=0.0), "abcde", ["a"])(logits, classes).sum().backward()
    ours = logits.grad
    logits.grad = None
    cross_entropy(logits, classes, reduction="sum").backward()
    assert ours is not None and logits.grad is not None and torch.allclose(ours, logits.grad, atol=1e-6)


def test_gradients_stay_finite_where_the_answer_is_sure() -> None:
    logits = torch.tensor([[-200.0, 200.0], [30.0, -30.0], [0.0, 0.0]], requires_grad=True)
    Loss(gamma=2.0)(logits, torch.tensor([1, 0, 1])).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_balanced_classes_weigh_alike_together() -> None:
    answers = ["non_referral"] * 30 + ["referral"] * 10
    loss = loss_of(options(class_weights="balanced"), TWO, answers)
    assert loss.weights == pytest.approx((40 / 60, 40 / 20))
    classes = torch.tensor([TWO.index(answer) for answer in answers])
    rows = loss(torch.zeros(40, 2), classes)
    assert rows[classes == 0].sum() == pytest.approx(rows[classes == 1].sum())
    assert rows.mean() == pytest.approx(math.log(2), rel=1e-5)  # the weights have the mean 1


def test_weights_can_be_given_and_go_with_the_focal_loss() -> None:
    loss = loss_of(options(class_weights="1,3,2", loss_function="focal_loss", focal_gamma=2.0), "abc", "abc")
    assert loss == Loss(gamma=2.0, weights=(1.0, 3.0, 2.0))


@pytest.mark.parametrize(
    ("given", "classes", "problem"),
    [
        ({"loss_function": "focal_loss", "focal_alpha": 0.5}, "abc", "focal_alpha weighs the second of two"),
        ({"class_weights": "1,2"}, "abc", "2 class_weights for 3 classes"),
        ({"class_weights": "balanced"}, "abd", "no training sample is of class 'd'"),
    ],
)
def test_weights_that_do_not_fit_the_classes_are_refused(given: dict[str, Any], classes: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        loss_of(options(**given), classes, "abcabc")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"focal_gamma": 1.0}, "focal_gamma.*would do nothing: add loss_function: focal_loss"),
        ({"momentum": 0.5}, "momentum.*would do nothing: add optimizer: sgd"),
        ({"optimizer": "sgd", "adam_beta2": 0.95}, "adam_beta2.*would do nothing"),
        ({"max_aug_rounds": 3}, "would do nothing: add aug_step_size"),
        ({"best_metric": "f1"}, "would do nothing: add keep_best"),
        ({"class_weights": "heavy"}, "balanced, or numbers"),
        ({"class_weights": "1,-2"}, "must be above 0"),
        ({"freeze_vision": True, "n_last_blocks": 2}, "n_last_blocks.*would do nothing"),
    ],
)
def test_options_that_would_do_nothing_are_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        options(**given)


def test_learning_rates_follow_the_samples_of_a_step() -> None:
    published = options(learning_rate=0.001, learning_rate_per=256, batch_size=2, gradient_accumulation_steps=1)
    assert published.learning_rate_of("head") == pytest.approx(7.8125e-6)  # the published 0.001 * 2 / 256
