"""The numbers of the sampling dashboard, and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from suture import sampled_frames, sampling_dashboard
from suture.frame_draws import Draws
from suture.sampled_frames import Drawn
from suture.sampling_dashboard import gap_cv, groups, series_of


def drawn(
    indices: tuple[int, ...], *, clip: str = "a", round_: int = 0, total: int = 40, method: str = "random"
) -> Drawn:
    return Drawn(
        path=f"{clip}.mp4",
        total_frames=40,
        method=method,
        indices=indices,
        round=round_,
        label="0",
        epoch=0,
        clip=clip,
    )


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("sampling_indices_ucf101_random_window_train_augstep16.csv", "random_window", ("ucf101", "train")),
        ("sampling_indices_ucf101_random_window_val.csv", "random_window", ("ucf101", "val")),
        ("sampling_indices_two-stage_aug_random_train_augstep2.csv", "random", ("two-stage_aug", "train")),
    ],
)
def test_names_of_files_are_taken_apart(name: str, method: str, expected: tuple[str, str]) -> None:
    """The published dashboard reads random_window as method random and split window."""
    found = series_of(Path(name), [drawn((0,), method=method)])
    assert (found.name, found.split) == expected


def test_gaps_coverage_and_places() -> None:
    even, uneven = drawn((0, 13, 26, 39)), drawn((0, 1, 2, 39), clip="b", round_=1)
    (every, first, second) = groups([series_of(Path("sampling_indices_x_random_train.csv"), [even, uneven])])
    assert [one["round"] for one in (every, first, second)] == ["all", "0", "1"]
    assert first["gap_cv"] == [0.0] * 5
    # Gaps 1, 1, 37: mean 13, standard deviation 16.97.
    assert second["gap_cv"][2] == pytest.approx(16.970563 / 13, abs=1e-4)
    assert (every["lines"], every["videos"]) == (2, 2)
    assert first["coverage"] == [0.1] * 5 and first["span"] == [1.0] * 5
    assert every["position"][0] == pytest.approx(3 / 8) and every["position"][-1] == pytest.approx(2 / 8)
    assert sum(every["position"]) == pytest.approx(1, abs=1e-3)
    assert every["frames"] == {4: 2}
    assert gap_cv((5,)) == 0 and gap_cv((5, 5)) == 0


def test_coverage_grows_with_what_other_epochs_draw() -> None:
    draws = Draws(method="random", count=8)
    rows = [drawn(tuple(draws.indices(40, "a", epoch=epoch))) for epoch in range(30)]
    (found,) = groups([series_of(Path("sampling_indices_x_random_train.csv"), rows)])
    assert found["coverage"][2] > 0.95


def test_the_page_stands_alone_and_escapes_names(tmp_path: Path) -> None:
    path = tmp_path / "sampling_indices_x_random_train.csv"
    sampled_frames.write(path, [drawn((0, 20), clip="</script><b>", round_=number) for number in range(3)])
    found = groups([series_of(path, sampled_frames.read(path))])
    strip = {"run": "x", "split": "train", "method": "random", "round": "0", "clip": "</script><b>", "label": "0"}
    html = sampling_dashboard.render(found, [strip | {"indices": [0], "total": 40, "picture": "data:,"}])
    assert "</script><b>" not in html
    assert not re.search(r'(src|href)="(?!data:|#)', html) and "//" not in html
    data = re.search(r'id="groups-data" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert data and [one["round"] for one in json.loads(data[1])] == ["all", "0", "1", "2"]
