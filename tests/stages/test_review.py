"""review.py: what is in the page, who may read it, and what it refuses."""

from __future__ import annotations

import base64
import io
import json
import re
import stat
from pathlib import Path
from typing import Any

import av
import pytest

import review
from review_run import MARKUP, write_reviewed
from support import call, make_clip, run_script
from suture.errors import InputError
from suture.reviewing.clips import Clips


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_reviewed(tmp_path / "demo")
    return tmp_path / "demo"


def page_of(run: Path, *more: object) -> dict[str, Any]:
    """What the page carries for its script."""
    call(review, "--run", run, *more)
    page = (run / "review.html").read_text(encoding="utf-8")
    assert MARKUP not in page
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def test_each_answer_has_its_film_or_the_reason_why_not(run: Path) -> None:
    said = run_script("review", "--run", run, "--count", 10)
    assert "4 answers about 2 clips" in said and "left without its clip: not readable as video" in said
    data = page_of(run, "--count", 10)
    assert len(data["items"]) == 4
    assert data["items"][0].keys() >= {"case", "id", "turn", "question", "answer"}
    assert MARKUP in {item["question"].removeprefix("Which phase? ") for item in data["items"]}
    assert data["clips"]["clip_2"] == {
        "kind": "none", "uri": "", "words": "This clip cannot be read: media unreadable.",
    }  # fmt: skip
    film = data["clips"]["clip_1"]["uri"].removeprefix("data:video/mp4;base64,")
    with av.open(io.BytesIO(base64.b64decode(film))) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        # 2 s at 8 frames a second, as large as the clip is.
        assert (len(frames), stream.codec_context.name, frames[0].shape) == (16, "h264", (48, 64, 3))
        assert float(stream.duration * stream.time_base) == pytest.approx(2.0)
    # The clip goes from blue to red.
    assert frames[0][24, 32, 2] > 200 > frames[-1][24, 32, 2] and frames[-1][24, 32, 0] > frames[0][24, 32, 0] + 100


def test_a_full_page_has_stills_then_nothing_and_counts_them(run: Path) -> None:
    clip = make_clip(id="clip_1", case="case_1", path="clip_1.mp4", fps=10.0, n_frames=20)
    film = Clips(run / "clips").show(clip)
    stills = Clips(run / "clips", budget=len(film.uri) - 1)
    assert stills.show(clip).kind == "stills" and (stills.thinned, stills.left_out) == (1, 0)
    full = Clips(run / "clips", budget=10)
    assert full.show(clip).kind == "none" and (full.thinned, full.left_out) == (0, 1)


def test_what_was_judged_is_not_asked_again(run: Path, tmp_path: Path) -> None:
    judged = tmp_path / "corrections.csv"
    judged.write_text("case,id,turn,verdict\ncase_1,clip_1,0,accept\ncase_2,clip_2,1,reject\n")
    config = run / "config.resolved.yaml"
    config.write_text(config.read_text().replace("{}", f"{{corrections: {judged}}}"))
    places = {(item["id"], item["turn"]) for item in page_of(run)["items"]}
    assert places == {("clip_1", 1), ("clip_2", 0)}
    judged.write_text("case,id,turn,verdict\n" + "".join(f"c,clip_{i},{t},accept\n" for i in (1, 2) for t in (0, 1)))
    with pytest.raises(InputError, match="all 4 answers have been judged"):
        call(review, "--run", run)


@pytest.mark.parametrize("sharing", ["internal", "credentialed"])
def test_what_is_not_open_stays_with_its_owner(tmp_path: Path, sharing: str) -> None:
    run = tmp_path / "demo"
    write_reviewed(run, sharing=sharing)
    page_of(run)
    assert stat.S_IMODE((run / "review.html").stat().st_mode) == 0o600
    assert f"These data are {sharing}" in (run / "review.html").read_text()
    said = run_script("review", "--run", run, "--output", tmp_path / "elsewhere.html", code=2)
    assert f"the data are {sharing}" in said and not (tmp_path / "elsewhere.html").exists()


def test_what_is_missing_is_named_with_the_way_out(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the folder of a run"):
        call(review, "--run", tmp_path)
    with pytest.raises(InputError, match="--count 0"):
        call(review, "--run", run, "--count", 0)
    (run / "manifests" / "samples" / "0.jsonl").rename(run / "manifests" / "samples" / "0.corrected.jsonl")
    with pytest.raises(InputError, match="there are no samples"):
        call(review, "--run", run)
