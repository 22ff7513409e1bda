"""cache_frames as a user runs it: on real files, whole and broken."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support import make_clip, run_script
from suture import files, records
from suture.frames import FrameCache, resize
from suture.records import Clip, Rejection, Sample
from suture.video.reading import read_frames
from toy_clips import cache_arguments, make_toy
from video_files import make_video


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("toy"), clips=6)


def edit(toy: Path, target: Path) -> Path:
    """A copy of the toy dataset whose files can be broken."""
    for path in toy.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(toy)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return target


def test_cached_frames_are_the_files_frames_at_the_wanted_places(toy: Path, tmp_path: Path) -> None:
    run_script("cache_frames", *cache_arguments(toy, tmp_path))
    cache = FrameCache([tmp_path / "shard-0.jsonl"])
    clips: list[Clip] = records.read(toy / "clips.jsonl", Clip)
    assert len(cache) == len(clips) == 6
    for clip in clips:
        entry = cache.entry(clip.id)
        # 4 of 12 frames, behind the 2 before the wanted stretch.
        assert entry.indices == (2 + 1, 2 + 4, 2 + 7, 2 + 10)
        expected = resize(read_frames(toy / "clips" / clip.path, entry.indices), 56, 56)
        assert np.array_equal(cache.frames(clip.id), expected)
        assert cache.frames(clip.id).max(axis=(1, 2, 3)).min() > 100  # no black frame from before the stretch
        assert entry.clip_sha256 == clip.sha256
        assert (entry.decoder, entry.decoder_version) == ("decord", version("decord"))


def test_either_decoder_gives_the_same_frames_and_is_recorded(toy: Path, tmp_path: Path) -> None:
    caches = {}
    for decoder in ("decord", "pyav"):
        run_script("cache_frames", *cache_arguments(toy, tmp_path / decoder, "--decoder", decoder))
        caches[decoder] = FrameCache([tmp_path / decoder / "shard-0.jsonl"])
        entry = caches[decoder].entry("case_0000_0")
        assert entry.decoder == decoder
        assert entry.decoder_version.startswith(version({"pyav": "av"}.get(decoder, decoder)))
    assert (tmp_path / "decord" / "shard-0.npy").read_bytes() == (tmp_path / "pyav" / "shard-0.npy").read_bytes()


def test_a_clip_that_decord_cannot_read_is_read_by_pyav_beside_the_others(toy: Path, tmp_path: Path) -> None:
    root = edit(toy, tmp_path / "data")
    rows = files.read_jsonl(root / "clips.jsonl")
    path = make_video(root / "clips" / rows[1]["path"], codec="libsvtav1", seconds=1.4, size=(64, 64))
    rows[1]["sha256"] = files.sha256_file(path)
    files.write_jsonl(root / "clips.jsonl", rows)
    run_script("cache_frames", *cache_arguments(root, tmp_path / "auto"))
    cache = FrameCache([tmp_path / "auto" / "shard-0.jsonl"])
    assert [cache.entry(row["id"]).decoder for row in rows] == ["decord", "pyav", *["decord"] * 4]
    said = run_script(
        "cache_frames", *cache_arguments(root, tmp_path / "decord", "--decoder", "decord", "--max-rejected", 0.2)
    )
    assert "5 clips cached, 1 left out" in said
    rejected: list[Rejection] = records.read(tmp_path / "decord" / "rejected.jsonl", Rejection)
    assert [(r.where, r.reason) for r in rejected] == [(rows[1]["path"], "decoder_failed")]


def test_bytes_do_not_depend_on_the_number_of_workers(toy: Path, tmp_path: Path) -> None:
    root = edit(toy, tmp_path / "data")
    (root / "clips" / "case_0001" / "case_0001_0.mp4").write_bytes(b"")
    outs = []
    for workers in (1, 2, 4):
        out = tmp_path / str(workers)
        run_script("cache_frames", *cache_arguments(root, out, "--workers", workers, "--max-rejected", 0.2))
        outs.append({p.name: p.read_bytes() for p in sorted(out.iterdir())})
    assert sorted(outs[0]) == ["rejected.jsonl", "shard-0.jsonl", "shard-0.npy"]
    assert outs[0] == outs[1] == outs[2]


def test_two_frames_a_second_and_only_clips_with_samples(toy: Path, tmp_path: Path) -> None:
    samples: list[Sample] = records.read(toy / "samples.jsonl", Sample)
    asked = tmp_path / "asked.jsonl"
    records.write(asked, samples[:2])
    run_script(
        "cache_frames",
        *["--clips", toy / "clips.jsonl", "--clips-dir", toy / "clips", "--samples", asked, "--fps", 2],
        *["--size", 28, 56, "--output", tmp_path / "s.jsonl", "--array", tmp_path / "s.npy"],
    )
    cache = FrameCache([tmp_path / "s.jsonl"])
    assert len(cache) == 2
    entry = cache.entry(samples[0].clip)
    assert entry.indices == (2, 7)  # 1.2 s at 10 a second: the published formula gives 0 and 5
    assert entry.frame_seconds == pytest.approx(0.5)
    assert cache.frames(samples[0].clip).shape == (2, 28, 56, 3)


def test_bytes_do_not_depend_on_hash_seed_order_or_place(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outs = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        root = edit(toy, tmp_path / f"place {seed}")
        if seed == "2":
            files.write_jsonl(root / "clips.jsonl", files.read_jsonl(root / "clips.jsonl")[::-1])
        out = root / "out"
        run_script("cache_frames", *cache_arguments(root, out))
        outs.append({p.name: p.read_bytes() for p in sorted(out.iterdir())})
    assert sorted(outs[0]) == ["rejected.jsonl", "shard-0.jsonl", "shard-0.npy"]
    assert outs[0] == outs[1]


def test_bad_clips_are_counted_and_the_rest_goes_on(toy: Path, tmp_path: Path) -> None:
    root = edit(toy, tmp_path / "data")
    clips: list[Clip] = records.read(root / "clips.jsonl", Clip)
    paths = [root / "clips" / clip.path for clip in clips]
    paths[0].write_bytes(b"")
    paths[1].write_bytes(paths[1].read_bytes()[:700])
    paths[2].unlink()
    paths[3].write_bytes(paths[4].read_bytes())  # a video, but not the one that was cut
    said = run_script("cache_frames", *cache_arguments(root, tmp_path, "--max-rejected", 0.7))
    assert "2 clips cached, 4 left out" in said
    rejected: list[Rejection] = records.read(tmp_path / "rejected.jsonl", Rejection)
    assert [r.where for r in rejected] == [clip.path for clip in clips[:4]]
    assert [r.reason for r in rejected] == ["media_empty", "truncated", "media_missing", "clip_changed"]
    cache = FrameCache([tmp_path / "shard-0.jsonl"])
    assert sorted(cache.rejected) == [clip.id for clip in clips[:4]]
    assert clips[5].id in cache


def test_more_bad_clips_than_allowed_is_an_error_that_names_one(toy: Path, tmp_path: Path) -> None:
    root = edit(toy, tmp_path / "data")
    (root / "clips" / "case_0000" / "case_0000_1.mp4").write_bytes(b"")
    said = run_script("cache_frames", *cache_arguments(root, tmp_path / "out"), code=2)
    assert "1 of 6 clips cannot be used, 10% may" in said
    assert "case_0000/case_0000_1.mp4" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "out").glob("*"))


def test_a_manifest_that_leads_out_of_the_folder_is_refused(toy: Path, tmp_path: Path) -> None:
    root = edit(toy, tmp_path / "data")
    rows = files.read_jsonl(root / "clips.jsonl")
    files.write_jsonl(root / "clips.jsonl", [{**rows[0], "path": "../../secret.mp4"}, *rows[1:]])
    assert "leads out of" in run_script("cache_frames", *cache_arguments(root, tmp_path / "out"), code=2)


def test_an_image_has_one_frame_at_any_rate_and_is_repeated_for_a_count(tmp_path: Path) -> None:
    (tmp_path / "clips" / "p").mkdir(parents=True)
    picture = tmp_path / "clips" / "p" / "scan.png"
    Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)).save(picture)
    clip = make_clip(
        id="scan", case="p", path="p/scan.png", n_frames=1, fps=0.0, method="image", sha256=files.sha256_file(picture)
    )
    records.write(tmp_path / "clips.jsonl", [clip])
    common = ["--clips", tmp_path / "clips.jsonl", "--clips-dir", tmp_path / "clips", "--size", 40, 60]
    for sampling, indices in ((("--fps", 2), (0,)), (("--frames", 3), (0, 0, 0))):
        run_script("cache_frames", *common, *sampling, "--output", tmp_path / "s.jsonl", "--array", tmp_path / "s.npy")
        cache = FrameCache([tmp_path / "s.jsonl"])
        assert (cache.entry("scan").indices, cache.entry("scan").frame_seconds) == (indices, 0)
        assert np.array_equal(cache.frames("scan"), np.stack([np.asarray(Image.open(picture))] * len(indices)))
    records.write(tmp_path / "clips.jsonl", [dataclasses.replace(clip, method="copy")])
    said = run_script(
        "cache_frames", *common, "--fps", 2, "--output", tmp_path / "s.jsonl", "--array", tmp_path / "s.npy", code=2
    )
    assert "its manifest says 0 frames a second" in said


@pytest.mark.parametrize("option", ["--frames", "--seconds-per-clip", "--workers", "--memory"])
def test_a_number_below_one_is_refused(option: str, toy: Path, tmp_path: Path) -> None:
    said = run_script("cache_frames", *cache_arguments(toy, tmp_path, option, 0), code=2)
    assert f"{option} must be above 0" in said


@pytest.mark.parametrize("share", [-1, 10, "nan"])
def test_a_cap_that_is_no_share_is_refused(toy: Path, tmp_path: Path, share: object) -> None:
    said = run_script("cache_frames", *cache_arguments(toy, tmp_path, "--max-rejected", share), code=2)
    assert f"'{share}' is not a share from 0 to 1" in said
