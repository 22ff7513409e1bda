"""Cutting that is killed, and sources that are worse than they look."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from support import SCRIPTS, run_script
from suture import cutting
from suture.video import verify
from suture.video.image import copy_image
from suture.video.index import read_index
from suture.video.reading import MediaError, read_frames
from suture.windows import PlannedClip
from video_files import all_frames, make_video

PHASES = "caseId,comment,frame,endFrame,sec,endSec\n9001,Phacoemulsification,0,0,0.5,{end}\n"


def dataset(root: Path, cases: int, seconds: int) -> Path:
    for number in range(1, cases + 1):
        case = f"case_900{number}"
        folder = root / "annotations" / "phase_annotations" / case
        folder.mkdir(parents=True)
        text = PHASES.format(end=seconds).replace("9001,", f"900{number},")
        (folder / f"{case}_annotations_phases.csv").write_text(text)
        make_video(root / "videos" / f"{case}.mp4", seconds=seconds, seed=number)
    return root


def arguments(root: Path, out: Path) -> list[str]:
    data = ["--annotations", root / "annotations", "--videos", root / "videos", "--check", "full"]
    return [
        str(a)
        for a in [*data, "--clips-dir", out / "clips", "--output", out / "c.jsonl", "--rejected", out / "r.jsonl"]
    ]


def contents(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("killed_at", ["the first clip", "the second case"])
def test_a_killed_run_started_again_leaves_what_an_undisturbed_one_does(killed_at: str, tmp_path: Path) -> None:
    root = dataset(tmp_path, cases=2, seconds=120)
    out, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    pattern = ".case_9001.tmp-*/*.mp4" if killed_at == "the first clip" else ".case_9002.tmp-*/*.mp4"
    with subprocess.Popen(
        [sys.executable, str(SCRIPTS / "cut_videos.py"), *arguments(root, out)], stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 60
        while not list((out / "clips").glob(pattern)):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert list((out / "clips").glob(pattern)), "nothing was in the middle of being cut"
    assert not (out / "c.jsonl").exists()
    run_script("cut_videos", *arguments(root, out))
    run_script("cut_videos", *arguments(root, undisturbed))
    assert len(contents(undisturbed)) == 48 + 2
    assert contents(out) == contents(undisturbed)


def test_manifests_do_not_depend_on_hash_seed_or_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        root = dataset(tmp_path / f"place {seed}", cases=2, seconds=12)
        run_script("cut_videos", *arguments(root, root / "out"))
        found.append(contents(root / "out"))
    assert found[0] == found[1]


def cut_one(source: Path, folder: Path, *spans: tuple[float, float], check: str = "auto") -> tuple[list, list]:
    folder.mkdir()
    plans = [
        PlannedClip(id=f"c{n}", phase="Incision", start_s=a, end_s=b, media=source.name, row=n)
        for n, (a, b) in enumerate(spans)
    ]
    media = {source.name: source}
    return cutting.cut_case("case", plans, media, source.parent, folder, check=check, bar=False)


def test_key_flags_that_lie_are_found_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its table of key frames an MP4 claims that each of its frames is one."""
    data = make_video(tmp_path / "true.mp4", seconds=10).read_bytes()
    source = tmp_path / "lying.mp4"
    assert data.count(b"stss") == 1
    source.write_bytes(data.replace(b"stss", b"free"))
    index = read_index(source)
    assert sum(packet.key is not None for packet in index.packets) == 5
    clips, rejected = cut_one(source, tmp_path / "out", (3.0, 6.0), (7.1, 9.9))
    assert rejected == []
    frames = all_frames(source)
    for clip, start in zip(clips, (30, 71), strict=True):
        got = all_frames(tmp_path / "out" / Path(clip.path).name)[clip.first_frame :]
        assert clip.method == "copy"
        assert all(np.array_equal(frames[start + n], got[n]) for n in range(clip.n_frames))


def test_a_copy_that_is_not_exact_is_noticed_and_re_encoded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_video(tmp_path / "a.mp4", seconds=10)
    plan_copy = cutting.plan_copy

    def off_by_one(*args: object) -> object:
        plan = plan_copy(*args)  # type: ignore[arg-type]
        return type(plan)(plan.packets, plan.first_frame + 1)

    monkeypatch.setattr(cutting, "plan_copy", off_by_one)
    clips, rejected = cut_one(source, tmp_path / "out", (3.0, 6.0), (6.0, 9.0))
    assert rejected == []
    assert [clip.method for clip in clips] == ["reencode", "reencode"]
    frames = all_frames(source)
    for clip, start in zip(clips, (30, 60), strict=True):
        got = all_frames(tmp_path / "out" / Path(clip.path).name)
        assert len(got) == clip.n_frames == 30
        assert all(np.array_equal(frames[start + n], got[n]) for n in range(30))
    assert "2 clips re-encoded without loss" in capsys.readouterr().err


def test_what_cannot_be_made_exact_is_rejected_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_video(tmp_path / "a.mp4", seconds=10)
    monkeypatch.setattr(cutting, "clip_digests", lambda *_: [b"other"])
    clips, rejected = cut_one(source, tmp_path / "out", (3.0, 6.0))
    assert clips == []
    assert [one.reason for one in rejected] == ["not_exact"]
    assert list((tmp_path / "out").iterdir()) == []


def test_auto_decodes_one_clip_of_a_sound_file_and_full_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_video(tmp_path / "a.mp4", seconds=10)
    decoded: list[Path] = []

    def counted(path: Path, first_frame: int, n_frames: int) -> list[bytes]:
        decoded.append(path)
        return verify.clip_digests(path, first_frame, n_frames)

    monkeypatch.setattr(cutting, "clip_digests", counted)
    spans = [(0.0, 3.0), (3.0, 6.0), (6.0, 9.0)]
    for check, expected in (("auto", 1), ("full", 3), ("none", 0)):
        decoded.clear()
        clips, _ = cut_one(source, tmp_path / check, *spans, check=check)
        assert (len(clips), len(decoded)) == (3, expected)


@pytest.mark.parametrize(("suffix", "options"), [(".mkv", {}), (".mp4", {"movflags": "faststart"})])
def test_of_a_file_that_is_cut_off_only_whole_clips_are_kept(
    suffix: str, options: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_video(tmp_path / f"whole{suffix}", seconds=10, container_options=options).read_bytes()
    for share in (40, 45, 50, 55, 60, 65):
        source = tmp_path / f"{share}{suffix}"
        source.write_bytes(data[: len(data) * share // 100])
        spans = [(n / 10, (n + 25) / 10) for n in range(75)]
        clips, rejected = cut_one(source, tmp_path / f"out {share}", *spans)
        assert len(clips) > 5
        assert {clip.n_frames for clip in clips} == {25}
        assert {one.reason for one in rejected} == {"truncated"}
        assert len(clips) + len(rejected) == len(spans)
        assert f"{share}{suffix}: cut off: it ends at" in capsys.readouterr().err


def test_borders_are_compared_as_decimals_with_exact_frame_times(tmp_path: Path) -> None:
    index = read_index(make_video(tmp_path / "a.mp4", seconds=5, rate=Fraction(60000, 1001)))
    # Frame 240 is shown at 4.004 s exactly; as a binary float 4.004 is less than that.
    assert index.frames_between(4.004, 4.1).start == 240
    # Frame 200 is shown at 3.336666... s.
    assert index.frames_between(3.3366, 4.1).start == 200
    assert index.frames_between(3.33667, 4.1).start == 201
    assert index.frames_between(0.0, 3.33667).stop == 201


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_images_lose_their_metadata_and_keep_their_pixels_upright(
    suffix: str, orientation: int, tmp_path: Path
) -> None:
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    rng = np.random.default_rng(0)
    exif, notes = Image.Exif(), PngInfo()
    exif[0x0112], exif[0x013B] = orientation, "Jane Doe"
    notes.add_text("Patient", "Jane Doe")
    more = {"pnginfo": notes} if suffix == "png" else {"comment": b"Jane Doe"}
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(source, exif=exif, **more)
    size = copy_image(source, target)
    assert size == ((60, 40) if orientation == 1 else (40, 60))
    assert source.read_bytes().count(b"Jane Doe") == 2
    assert b"Jane Doe" not in target.read_bytes()
    with Image.open(source) as before, Image.open(target) as after:
        assert np.array_equal(np.asarray(before), np.asarray(after))
        assert after.getexif().get(0x0112, 1) == orientation
    assert np.array_equal(read_frames(source, [0]), read_frames(target, [0]))
    assert read_frames(target, [0]).shape == (1, size[1], size[0], 3)
    target.write_bytes(source.read_bytes()[:-400])
    with pytest.raises(MediaError, match="not readable as PNG or JPEG"):
        copy_image(target, tmp_path / "c")


def test_reading_names_what_is_wrong(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", seconds=2)
    with pytest.raises(MediaError, match="frame 20 is wanted, the file has 20"):
        read_frames(video, [3, 20])
    with pytest.raises(ValueError, match="frame numbers"):
        read_frames(video, [-1])
    with pytest.raises(MediaError, match="not found"):
        read_frames(tmp_path / "b.mp4", [0])
    frames = read_frames(video, [5, 2, 5])
    assert np.array_equal(frames[0], frames[2])
    assert np.array_equal(frames[1], read_frames(video, [2])[0])
    assert not np.array_equal(frames[0], frames[1])
