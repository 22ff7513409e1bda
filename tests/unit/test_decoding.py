"""decord against PyAV, to the bit, on real files of many kinds; which of the two decodes what."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support import SCRIPTS
from suture import files
from suture.cutting import cut_case
from suture.decoding import Wanted, decode_each
from suture.frames import Decoded, Refused
from suture.video.reading import read_frames
from suture.windows import PlannedClip
from video_files import make_video

OPEN_GOP = {"gop": 24, "seconds": 8, "options": {"preset": "medium"}, "x264": ("open-gop=1", "bframes=3")}

# Each has killed a reader: the ways of decord that jump are wrong on most of them.
KINDS: dict[str, dict[str, Any]] = {
    "gop 30": {"gop": 30},
    "gop 250": {"gop": 250, "seconds": 26},
    "open gop with leading pictures": OPEN_GOP,
    "mpeg-4 with b-frames": {"codec": "mpeg4", "gop": 12},
    "mpeg-2": {"codec": "mpeg2video", "rate": 25, "seconds": 4},
    "hevc": {"codec": "libx265", "seconds": 5, "options": {"x265-params": "log-level=none:open-gop=1:keyint=24"}},
    "vp9": {"codec": "libvpx-vp9", "seconds": 3},
    "variable frame rate": {"times": [0, 40, 100, 130, 400, 460, 470, 900, 901, 1000, *range(1100, 3000, 37)]},
    "fragmented": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "turned": {"rotation": 90},
    "odd size, bt.709, full range": {"size": (98, 62), "x264": ("colormatrix=bt709", "fullrange=on")},
    "4:4:4": {"pixel_format": "yuv444p"},
}
# What decord reads wrongly or otherwise than PyAV, or not at all.
NOT_FOR_DECORD: dict[str, tuple[str, dict[str, Any]]] = {
    "transport stream": ("x.ts", {"gop": 20}),
    "interlaced": ("x.mp4", {"options": {"flags": "+ildct+ilme"}, "x264": ("tff=1",)}),
    "10 bit": ("x.mp4", {"pixel_format": "yuv420p10le"}),
    "av1": ("x.mp4", {"codec": "libsvtav1", "seconds": 1}),
}


def wanted(path: Path, indices: list[int], **changes: Any) -> Wanted:
    size = read_frames(path, [0]).shape[1:3]
    fields = {"path": path, "sha256": files.sha256_file(path), "indices": tuple(indices), "size": size}
    return Wanted(**fields | changes)


def decoded(items: list[Wanted], decoder: str, **options: Any) -> list[Decoded]:
    results = list(decode_each(items, decoder=decoder, **{"workers": 2, "seconds": 60, **options}))
    assert all(isinstance(result, Decoded) for result in results), results
    return [result for result in results if isinstance(result, Decoded)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {kind: make_video(folder / kind / "x.mp4", **options) for kind, options in KINDS.items()}


def test_decord_read_in_order_equals_pyav_to_the_bit(videos: dict[str, Path]) -> None:
    paths = list(videos.values())
    # Scattered, ascending, first and last frame among them.
    picks = [sorted({0, 1, 2, 23, 24, 25, *range(5, len(count), 7), len(count) - 1}) for count in map(frames_of, paths)]
    by_decord = decoded([wanted(p, i) for p, i in zip(paths, picks, strict=True)], "decord")
    for kind, path, indices, result in zip(videos, paths, picks, by_decord, strict=True):
        assert result.decoder == "decord", kind
        assert np.array_equal(result.frames, read_frames(path, indices)), kind
        assert len(np.unique(result.frames.reshape(len(indices), -1), axis=0)) == len(indices), kind


def frames_of(path: Path) -> range:
    import av

    with av.open(str(path)) as container:
        return range(sum(1 for _ in container.decode(video=0)))


def test_clips_cut_from_these_are_read_equally_at_their_wanted_frames(videos: dict[str, Path], tmp_path: Path) -> None:
    items, firsts = [], []
    for kind in ("gop 250", "open gop with leading pictures", "mpeg-4 with b-frames", "hevc"):
        source = videos[kind]
        plans = [
            PlannedClip(id=f"{a}", phase="p", start_s=a, end_s=a + 1.5, media="x.mp4", row=2) for a in (0.35, 1.15, 2.6)
        ]
        (tmp_path / kind).mkdir()
        clips, rejected = cut_case(
            kind, plans, {"x.mp4": source}, source.parent, tmp_path / kind, check="none", bar=False
        )
        assert not rejected
        for clip in clips:
            path = tmp_path / kind / Path(clip.path).name
            items.append(wanted(path, list(range(clip.first_frame, clip.first_frame + clip.n_frames))))
            firsts.append(clip.first_frame)
    assert sum(first > 0 for first in firsts) >= 8  # most clips start before their first wanted frame
    for item, result in zip(items, decoded(items, "auto"), strict=True):
        assert result.decoder == "decord"
        assert np.array_equal(result.frames, read_frames(item.path, item.indices))


@pytest.mark.parametrize("kind", NOT_FOR_DECORD)
def test_what_decord_reads_otherwise_is_left_to_pyav(kind: str, tmp_path: Path) -> None:
    name, options = NOT_FOR_DECORD[kind]
    item = wanted(make_video(tmp_path / name, **options), [0, 3, 7])
    (result,) = decoded([item], "auto", workers=1)
    assert result.decoder == "pyav"
    assert result.decoder_version.split(",")[0].count(".") == 2
    assert np.array_equal(result.frames, read_frames(item.path, item.indices))
    (refused,) = decode_each([item], decoder="decord", workers=1, seconds=60)
    assert isinstance(refused, Refused)
    assert refused.reason == "decoder_failed"
    assert str(tmp_path) not in refused.problem


def test_indices_in_any_order_with_repeats_at_another_size(videos: dict[str, Path]) -> None:
    item = wanted(videos["gop 30"], [7, 7, 2, 40], size=(28, 56))
    (result,) = decoded([item], "auto")
    assert result.frames.shape == (4, 28, 56, 3)
    assert result.indices == (7, 7, 2, 40)
    assert np.array_equal(result.frames[0], result.frames[1])
    assert not np.array_equal(result.frames[1], result.frames[2])


def test_a_file_that_ends_too_early_or_is_another_is_refused_by_either(videos: dict[str, Path]) -> None:
    path = videos["gop 30"]
    for decoder in ("auto", "decord", "pyav"):
        results = list(
            decode_each(
                [wanted(path, [99, 100]), wanted(path, [5], sha256="0" * 64)], decoder=decoder, workers=1, seconds=60
            )
        )
        assert [r.reason for r in results if isinstance(r, Refused)] == ["truncated", "clip_changed"]


def test_a_file_that_needs_more_memory_than_there_is_costs_itself(videos: dict[str, Path], tmp_path: Path) -> None:
    Image.new("RGB", (8000, 8000)).save(tmp_path / "x.png")
    fields = {"path": tmp_path / "x.png", "sha256": files.sha256_file(tmp_path / "x.png"), "indices": (0,)}
    large = Wanted(**fields, size=(28, 28), image=True)  # type: ignore[arg-type]
    small = wanted(videos["gop 30"], [0])
    refused, kept = decode_each([large, small], decoder="auto", workers=1, seconds=60, megabytes=300)
    assert refused == Refused(reason="decoder_memory", problem="decoding: it needs more memory than 300 MB")
    assert isinstance(kept, Decoded)


def test_a_process_that_may_fork_does_not_import_decord() -> None:
    # The training's data workers are forked; decord deadlocks there.
    code = "import sys, suture.decoding, suture.frames; sys.exit('decord' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=True)
