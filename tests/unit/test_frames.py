"""Frame sampling, resizing and the cache's two files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from support import make_clip
from suture import files, records
from suture.errors import InputError
from suture.frame_sampling import at_rate, evenly
from suture.frames import CachedClip, Decoded, FrameCache, Refused, resize, write_shard
from suture.records import Clip


def published(num_frames: int, avg_fps: float) -> list[int]:
    """The lines of umurkarakas/surgery-sft train.py that choose frames at 2 a second."""
    return [int(avg_fps / 2) * i for i in range(2 * num_frames // int(avg_fps))]


@pytest.mark.parametrize("fps", [10.0, 24.0, 25.0, 29.97, 30.0, 59.94, 60.0])
@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.5, 4.2, 5.0, 7.5])
def test_two_frames_a_second_are_the_published_ones(fps: float, seconds: float) -> None:
    n = int(fps * seconds)
    expected = published(n, fps)
    assert at_rate(n, fps, 2) == (expected or [0])  # where the published script has none and crashes


@pytest.mark.parametrize(("n", "fps", "rate"), [(1, 30, 2), (5, 1, 2), (3, 0.5, 2), (40, 25, 100), (7, 23.976, 5)])
def test_sampled_frames_exist(n: int, fps: float, rate: float) -> None:
    indices = at_rate(n, fps, rate)
    assert indices
    assert indices == sorted(set(indices))
    assert 0 <= indices[0] <= indices[-1] < n


def test_even_frames_are_the_middles_of_equal_parts() -> None:
    assert evenly(30, 8) == [1, 5, 9, 13, 16, 20, 24, 28]
    assert evenly(8, 8) == list(range(8))
    assert evenly(3, 6) == [0, 0, 1, 1, 2, 2]
    assert evenly(1, 4) == [0, 0, 0, 0]
    for n in range(1, 40):
        assert all(0 <= i < n for i in evenly(n, 7))


@pytest.mark.parametrize("call", [lambda: evenly(0, 8), lambda: evenly(8, 0), lambda: at_rate(5, 0, 2)])
def test_no_frames_of_nothing(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        call()


def test_resizing_averages_instead_of_skipping_pixels() -> None:
    # Columns one pixel wide: taking every fourth gives black or white, an average is grey.
    stripes = np.zeros((2, 64, 64, 3), np.uint8)
    stripes[:, :, ::2] = 255
    small = resize(stripes, 16, 8)
    assert small.shape == (2, 16, 8, 3)
    assert small.dtype == np.uint8
    assert np.abs(small[:, :, 1:-1].astype(int) - 127).max() < 20
    assert resize(stripes, 64, 64) is stripes


def clip(name: str, case: str = "case_1") -> Clip:
    return make_clip(id=name, case=case, end_s=1, first_frame=2, n_frames=10, fps=10.0)


def decoder(bad: set[str]) -> Callable[[Sequence[Clip]], Iterator[Decoded | Refused]]:
    def decode(clips: Sequence[Clip]) -> Iterator[Decoded | Refused]:
        for one in clips:
            if one.id in bad:
                yield Refused(reason="truncated", problem="frame 11 is wanted, the file has 4")
                continue
            frames = np.full((2, 16, 24, 3), sum(one.id.encode()) % 256, np.uint8)
            yield Decoded(frames=frames, indices=(4, 9), decoder="test", decoder_version="1")

    return decode


def cache_of(folder: Path, clips: list[Clip], bad: set[str], max_rejected: float = 0.5) -> Path:
    manifest = folder / "shard-0.jsonl"
    write_shard(
        clips,
        decode=decoder(bad),
        size=(16, 24),
        manifest=manifest,
        array=folder / "shard-0.npy",
        max_rejected=max_rejected,
    )
    return manifest


def test_each_clip_finds_its_own_frames(tmp_path: Path) -> None:
    names = ["c", "a", "b"]
    cache = FrameCache([cache_of(tmp_path, [clip(name) for name in names], {"b"})])
    assert len(cache) == 2
    for name in ("a", "c"):
        frames = cache.frames(name)
        assert frames.shape == (2, 16, 24, 3)
        assert (frames == ord(name)).all()
        entry = cache.entry(name)
        assert entry.indices == (4, 9)
        assert entry.frame_seconds == pytest.approx(0.5)
        assert entry.clip_sha256 == f"clip {name}"
    assert "b" not in cache
    assert cache.rejected["b"].rejected == "truncated"


def test_the_bytes_do_not_depend_on_the_order_of_the_clips(tmp_path: Path) -> None:
    clips = [clip(name) for name in "abcde"]
    first = cache_of(tmp_path / "1", clips, {"d"})
    second = cache_of(tmp_path / "2", clips[::-1], {"d"})
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".npy").read_bytes() == second.with_suffix(".npy").read_bytes()


def test_the_array_is_an_ordinary_npy_file(tmp_path: Path) -> None:
    array = np.load(cache_of(tmp_path, [clip(name) for name in "abc"], set()).with_suffix(".npy"))
    assert array.shape == (6, 16, 24, 3)
    assert array[:, 0, 0, 0].tolist() == [97, 97, 98, 98, 99, 99]


def test_a_shard_without_clips_is_a_cache_too(tmp_path: Path) -> None:
    manifest = cache_of(tmp_path, [], set())
    assert np.load(manifest.with_suffix(".npy")).shape == (0, 16, 24, 3)
    assert len(FrameCache([manifest])) == 0


def test_too_many_bad_clips_stop_the_run_and_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"at least 2 of 4 clips cannot be used, 30% may: frame 11") as caught:
        cache_of(tmp_path, [clip(name) for name in "abcd"], {"a", "b"}, max_rejected=0.3)
    assert caught.value.where == "case_1/a.mp4"
    assert list(tmp_path.iterdir()) == []


def test_the_first_clip_too_many_stops_the_run(tmp_path: Path) -> None:
    # Each that hangs takes its whole time limit: a shard of them must not be waited for.
    asked: list[str] = []

    def decode(clips: Sequence[Clip]) -> Iterator[Refused]:
        for one in clips:
            asked.append(one.id)
            yield Refused(reason="decoder_timeout", problem="decoding: not done after 120 s")

    clips = [clip(name) for name in "abcdefgh"]
    with pytest.raises(InputError, match=r"at least 3 of 8 clips cannot be used, 25% may: .* not done after 120 s"):
        write_shard(
            clips,
            decode=decode,
            size=(16, 24),
            manifest=tmp_path / "s.jsonl",
            array=tmp_path / "s.npy",
            max_rejected=0.25,
        )
    assert asked == ["a", "b", "c"]


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    left_over = tmp_path / ".shard-0.npy.tmp-123.npy"
    left_over.write_bytes(b"half")
    cache_of(tmp_path, [clip("a")], set())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shard-0.jsonl", "shard-0.npy"]


def test_an_array_of_another_run_is_refused(tmp_path: Path) -> None:
    manifest = cache_of(tmp_path, [clip(name) for name in "abc"], set())
    rows = files.read_jsonl(manifest)
    files.write_jsonl(manifest, rows[:2])
    with pytest.raises(InputError, match="its manifest says"):
        FrameCache([manifest])
    manifest.with_suffix(".npy").write_bytes(b"no array")
    with pytest.raises(InputError, match="cannot be read"):
        FrameCache([manifest])


def test_a_clip_in_two_shards_is_refused(tmp_path: Path) -> None:
    shards = [cache_of(tmp_path / name, [clip("a")], set()) for name in "12"]
    with pytest.raises(InputError, match="'a' occurs twice"):
        FrameCache(shards)


def test_the_manifest_survives_a_round_trip(tmp_path: Path) -> None:
    rows: list[CachedClip] = records.read(cache_of(tmp_path, [clip("a"), clip("b")], {"b"}), CachedClip)
    assert [(r.row, r.n_frames, r.rejected) for r in rows] == [(0, 2, ""), (2, 0, "truncated")]
    assert [(r.decoder, r.decoder_version, r.indices) for r in rows] == [("test", "1", (4, 9)), ("", "", ())]
    assert all(CachedClip.from_json(r.to_json()) == r for r in rows)
