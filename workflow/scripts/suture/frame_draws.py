"""Frames drawn from a video as Endo-FM's classifier samples them, each draw a function of what it is for.

The three methods are those of the published ``FrameSampler``, whose indices
never reached its decoder. ``N`` is the number of frames of the video, ``F``
the number wanted:

- ``uniform``: ``int(i (N - 1) / (F - 1))``, the first and the last frame among them;
- ``random``: F different frames, sorted;
- ``random_window``: one frame of each of F equal windows.

Videos with fewer than F frames give some of them twice. ``middle`` is
:func:`suture.frame_sampling.evenly`, which draws nothing.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal, get_args

from suture.frame_sampling import evenly

Method = Literal["middle", "uniform", "random", "random_window"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How frames of a video are picked: ``count`` of them, by ``method``, with the run's ``seed``."""

    method: Method
    count: int
    seed: int = 42

    def indices(self, total: int, key: str, *, epoch: int = 0, round_: int = 0) -> list[int]:
        """Picks ``count`` of ``total`` frames.

        Args:
            total: frames of the video.
            key: what tells this video from others.
            epoch: another one draws other frames.
            round_: of augmentation; 0 is none. See :func:`rounds`.

        Returns:
            Ascending numbers in [0, total).

        Raises:
            ValueError: ``total`` or ``count`` is below 1, or ``round_`` below 0.
        """
        if total < 1 or self.count < 1 or round_ < 0:
            raise ValueError(f"cannot pick {self.count} of {total} frames in round {round_}")
        if self.method == "middle":
            return evenly(total, self.count)
        if self.method == "uniform":
            return _uniform(total, self.count, round_)
        chance = random.Random(_seed(self.seed, key, epoch, round_))
        return (_random if self.method == "random" else _random_window)(total, self.count, chance)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a run draws ``count`` frames of each clip: the method of each split."""

    count: int
    train: Method
    val: Method
    test: Method


def rounds(method: Method, total: int, count: int, step: int | None, most: int | None = None) -> list[int]:
    """Lists the rounds in which training sees a video in one epoch: 0, and with ``step`` those of augmentation.

    They are ``range(1, M + 1, step)``, as published. ``M`` for ``uniform`` is
    ``max(1, int((N - 1) / (F - 1)) - 1)``, so that a round's frames stay
    between those of round 0; where F is more than N / 2 it is
    ``max(1, min(5, N // 2F + 1))``. For ``random`` and ``random_window`` it is
    ``max(1, min(10, N // F))``: each round is a draw of its own.

    Args:
        method: of training.
        total: frames of the video.
        count: frames wanted.
        step: the published ``aug_step_size``; None: no augmentation.
        most: the published ``max_aug_rounds``, in place of M.
    """
    if step is None or method == "middle":
        return [0]
    if most is None:
        if method != "uniform":
            most = max(1, min(10, total // count))
        elif count > total / 2 or count == 1:
            most = max(1, min(5, total // (2 * count) + 1))
        else:
            most = max(1, int((total - 1) / (count - 1)) - 1)
    return [0, *range(1, most + 1, step)]


def _uniform(total: int, count: int, round_: int) -> list[int]:
    if count == 1:
        return [min(total // 2 + round_, total - 1)]
    step = total / count if total < count else (total - 1) / (count - 1)
    borders = [min(int(i * step), total - 1) for i in range(count)]
    # The last border has no gap behind it.
    moved = [min(border + round_, borders[-1]) for border in borders[:-1]]
    return [*moved, borders[-1]]


def _random(total: int, count: int, chance: random.Random) -> list[int]:
    if total < count:
        return sorted(chance.choices(range(total), k=count))
    return sorted(chance.sample(range(total), count))


def _random_window(total: int, count: int, chance: random.Random) -> list[int]:
    width = total / count
    found = []
    for i in range(count):
        start = int(i * width)
        end = max(min(int((i + 1) * width), total), start + 1)
        found.append(chance.randint(start, end - 1))
    return found


def _seed(seed: int, key: str, epoch: int, round_: int) -> int:
    # A digest: Python's own hash of a text is another one in each process.
    return int.from_bytes(hashlib.sha256(f"{seed}\n{epoch}\n{round_}\n{key}".encode()).digest()[:8])
