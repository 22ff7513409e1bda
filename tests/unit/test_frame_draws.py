"""Frames drawn as the published FrameSampler defines them, in an order that no process changes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from support import SCRIPTS
from suture.frame_draws import METHODS, Draws, Method, rounds

DRAWN: tuple[Method, ...] = ("random", "random_window")


def published_uniform(total: int, frames: int) -> list[int]:
    """The lines of utils/custom_sampling.py (Endo-FM fork) for method uniform."""
    if frames == 1:
        return [total // 2]
    if total < frames:
        step = total / frames
        return [min(int(i * step), total - 1) for i in range(frames)]
    step = (total - 1) / (frames - 1)
    return [min(int(i * step), total - 1) for i in range(frames)]


@pytest.mark.parametrize("total", [1, 2, 5, 7, 8, 9, 40, 100, 301, 1919])
@pytest.mark.parametrize("frames", [1, 2, 8, 32])
def test_uniform_is_the_published_formula(total: int, frames: int) -> None:
    assert Draws(method="uniform", count=frames).indices(total, "a") == published_uniform(total, frames)


def test_uniform_takes_the_first_and_the_last_frame() -> None:
    assert Draws(method="uniform", count=8).indices(40, "a") == [0, 5, 11, 16, 22, 27, 33, 39]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("total", [1, 3, 8, 9, 40, 500])
def test_draws_are_ascending_frames_that_exist(method: Method, total: int) -> None:
    for epoch in range(5):
        for round_ in rounds(method, total, 8, 4):
            found = Draws(method=method, count=8).indices(total, "v", epoch=epoch, round_=round_)
            assert found == sorted(found)
            assert len(found) == 8 and 0 <= found[0] <= found[-1] < total


@pytest.mark.parametrize("total", [8, 9, 40, 61])
def test_a_random_window_gives_one_frame_of_each_equal_part(total: int) -> None:
    seen: list[set[int]] = [set() for _ in range(8)]
    for epoch in range(300):
        found = Draws(method="random_window", count=8).indices(total, "v", epoch=epoch)
        for window, index in enumerate(found):
            assert int(window * total / 8) <= index < int((window + 1) * total / 8)
            seen[window].add(index)
    # Each frame of the video is drawn in some epoch.
    assert set().union(*seen) == set(range(total))


def test_random_draws_each_frame_about_as_often() -> None:
    found = [i for e in range(2000) for i in Draws(method="random", count=8).indices(40, "v", epoch=e)]
    counts = np.bincount(found, minlength=40)
    assert counts.min() > 320 and counts.max() < 480  # 400 each on average, 18 is a standard deviation
    assert all(len(set(Draws(method="random", count=8).indices(40, "v", epoch=e))) == 8 for e in range(50))


@pytest.mark.parametrize("method", DRAWN)
def test_a_draw_depends_on_run_epoch_round_and_video_and_on_nothing_else(method: Method) -> None:
    draws = Draws(method=method, count=8, seed=42)
    once = draws.indices(300, "a", epoch=3, round_=1)
    np.random.seed(1)  # other generators play no part
    assert draws.indices(300, "a", epoch=3, round_=1) == once
    others = [
        draws.indices(300, "b", epoch=3, round_=1),
        draws.indices(300, "a", epoch=4, round_=1),
        draws.indices(300, "a", epoch=3, round_=2),
        Draws(method=method, count=8, seed=43).indices(300, "a", epoch=3, round_=1),
    ]
    assert all(other != once for other in others)


def test_draws_are_the_same_in_each_process() -> None:
    # The published sampler is seeded with hash(name), which Python salts.
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); from suture.frame_draws import Draws; "
        "print(Draws(method='random', count=8).indices(300, 'clip.mp4', epoch=2))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(printed) == 1
    assert printed == {f"{Draws(method='random', count=8).indices(300, 'clip.mp4', epoch=2)}\n"}


def test_rounds_of_uniform_frames_stay_between_those_of_round_0() -> None:
    draws = Draws(method="uniform", count=8)
    borders = draws.indices(300, "a")
    assert rounds("uniform", 300, 8, 16) == [0, 1, 17, 33]  # int(299 / 7) - 1 = 41 rounds there are
    for round_ in rounds("uniform", 300, 8, 1)[1:]:
        moved = draws.indices(300, "a", round_=round_)
        assert moved[:-1] == [border + round_ for border in borders[:-1]]
        assert moved[-1] == borders[-1]
        assert all(a < b < c for a, b, c in zip(borders, moved[:-1], borders[1:], strict=False))


@pytest.mark.parametrize(
    ("method", "total", "frames", "step", "expected"),
    [
        ("uniform", 300, 8, None, [0]),
        ("middle", 300, 8, 1, [0]),
        ("uniform", 12, 8, 1, [0, 1]),  # 8 is more than half of 12: min(5, 12 // 16 + 1)
        ("random", 300, 8, 16, [0, 1]),  # min(10, 300 // 8) = 10 rounds there are
        ("random", 300, 8, 4, [0, 1, 5, 9]),
        ("random_window", 40, 8, 1, [0, 1, 2, 3, 4, 5]),
        ("random_window", 5, 8, 1, [0, 1]),
    ],
)
def test_which_rounds_there_are(method: Method, total: int, frames: int, step: int | None, expected: list[int]) -> None:
    assert rounds(method, total, frames, step) == expected


def test_a_highest_round_can_be_given() -> None:
    assert rounds("random", 300, 8, 16, 30) == [0, 1, 17]  # the published 2 more clips a video


@pytest.mark.parametrize(("total", "round_"), [(0, 0), (8, -1)])
def test_nothing_is_drawn_from_nothing(total: int, round_: int) -> None:
    with pytest.raises(ValueError, match="cannot pick"):
        Draws(method="random", count=8).indices(total, "a", round_=round_)
