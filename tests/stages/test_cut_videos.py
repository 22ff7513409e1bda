"""cut_videos as a user runs it: the published table, clips equal to their source to the bit, odd videos."""

from __future__ import annotations

import csv
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from support import run_script
from suture import files, records
from suture.records import Clip, Rejection
from suture.video.reading import read_frames
from suture.video.reencode import export_exact, ffmpeg_exe
from video_files import all_frames, make_video

Phases = list[tuple[str, float, float]]
PHASES: Phases = [("Incision", 0.35, 3.0), ("Viscoelastic", 3.0, 14.013), ("Lens positioning", 14.5, 16.2)]


def annotate(root: Path, case: str, phases: Phases) -> Path:
    """Writes a phase CSV as the publisher does."""
    path = root / "phase_annotations" / case / f"{case}_annotations_phases.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{case[5:]},{name},0,0,{start},{end}\n" for name, start, end in phases]
    path.write_text("caseId,comment,frame,endFrame,sec,endSec\n" + "".join(rows))
    return root


def cut(tmp_path: Path, *more: object, code: int = 0) -> tuple[list[Clip], list[Rejection], str]:
    """Cuts what lies under tmp_path/annotations and tmp_path/videos."""
    out = tmp_path / "clips.jsonl"
    printed = run_script(
        "cut_videos",
        *("--annotations", tmp_path / "annotations", "--videos", tmp_path / "videos", "--output", out),
        *("--clips-dir", tmp_path / "clips", "--rejected", tmp_path / "rejected.jsonl", *more),
        code=code,
    )
    clips = records.read(out, Clip) if out.exists() else []
    return clips, records.read(tmp_path / "rejected.jsonl", Rejection), printed


def assert_exact(tmp_path: Path, clips: list[Clip], source: Path, times: list[float]) -> None:
    """Checks by decoding alone that each clip holds the source's frames of its time, to the bit."""
    frames = all_frames(source)
    assert len(frames) == len(times)
    for clip in clips:
        wanted = [n for n, time in enumerate(times) if clip.start_s - 1e-9 <= time < clip.end_s - 1e-9]
        got = all_frames(tmp_path / "clips" / clip.path)[clip.first_frame : clip.first_frame + clip.n_frames]
        assert len(got) == len(wanted) == clip.n_frames > 0, clip.id
        assert all(np.array_equal(frames[n], frame) for n, frame in zip(wanted, got, strict=True)), clip.id
        assert clip.sha256 == files.sha256_file(tmp_path / "clips" / clip.path)
        assert clip.source_sha256 == files.sha256_file(source)


def steady(seconds: float, rate: Fraction | int = 10) -> list[float]:
    return [float(n / Fraction(rate)) for n in range(round(seconds * rate))]


def test_the_published_table_is_reproduced_byte_for_byte(cataract1k: Path, tmp_path: Path) -> None:
    out = tmp_path / "clips.csv"
    run_script("cut_videos", "--annotations", cataract1k, "--mode", "published", "--plan-only", "--output", out)
    header, *rows = (cataract1k / "expected" / "clips.csv").read_text().splitlines(keepends=True)
    # The publisher's rows come in the order of a folder listing; ours are sorted by case and file.
    assert out.read_text() == header + "".join(sorted(rows, key=lambda row: row.split(",")[:2]))


def test_exact_plan_of_the_real_cases_covers_each_phase_and_counts_the_short_ones(
    cataract1k: Path, tmp_path: Path
) -> None:
    out, left = tmp_path / "clips.csv", tmp_path / "rejected.jsonl"
    run_script("cut_videos", "--annotations", cataract1k, "--plan-only", "--output", out, "--rejected", left)
    with out.open(newline="") as handle:
        durations = [float(row["duration_s"]) for row in csv.DictReader(handle)]
    phases = [
        float(row["endSec"]) - float(row["sec"])
        for path in (cataract1k / "phase_annotations").glob("*/*_phases.csv")
        for row in csv.DictReader(path.read_text().splitlines())
    ]
    assert min(durations) >= 2.5
    assert max(durations) <= 7.5
    assert sum(durations) == pytest.approx(sum(length for length in phases if length >= 2.4999), abs=0.01)
    short = [one for one in records.read(left, Rejection) if one.reason == "phase_too_short"]
    assert len(short) == sum(length < 2.4999 for length in phases) == 8


SOURCES: dict[str, dict[str, object]] = {
    "closed groups": {},
    "open groups": {"x264": ["open-gop=1", "bframes=3"], "b_frames": 3, "options": {"preset": "veryfast"}},
    "intra refresh": {"x264": ["intra-refresh=1"], "b_frames": 0, "options": {"preset": "veryfast"}},
    "HEVC, open groups": {
        "codec": "libx265",
        "options": {"x265-params": "keyint=20:min-keyint=20:open-gop=1:bframes=3:log-level=error"},
    },
    "MPEG-4": {"codec": "mpeg4"},
    "10 bit": {"pixel_format": "yuv420p10le"},
    "starts late": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "29.97": {"rate": Fraction(30000, 1001)},
    "with sound": {"sound": True},
}


@pytest.mark.parametrize("kind", SOURCES)
def test_clips_hold_the_frames_of_their_time_to_the_bit(kind: str, tmp_path: Path) -> None:
    annotate(tmp_path / "annotations", "case_9001", PHASES)
    source = make_video(tmp_path / "videos" / "case_9001.mp4", seconds=16, **SOURCES[kind])  # type: ignore[arg-type]
    clips, rejected, printed = cut(tmp_path)
    assert [clip.id for clip in clips] == [
        "case_9001_Incision_0.35_3.00",
        "case_9001_Viscoelastic_3.00_7.50",
        "case_9001_Viscoelastic_7.50_14.01",
    ]
    assert {clip.method for clip in clips} == {"copy"}, printed
    assert "further back" not in printed
    assert [one.reason for one in rejected] == ["phase_too_short"]
    assert_exact(tmp_path, clips, source, steady(16, SOURCES[kind].get("rate", 10)))  # type: ignore[arg-type]


def test_variable_frame_rate_keeps_to_the_times(tmp_path: Path) -> None:
    milliseconds = [100 * n + 37 * n % 60 for n in range(150)]
    annotate(tmp_path / "annotations", "case_9001", PHASES)
    source = make_video(tmp_path / "videos" / "case_9001.mp4", times=milliseconds)
    clips, _, _ = cut(tmp_path)
    assert len(clips) == 3
    assert_exact(tmp_path, clips, source, [n / 1000 for n in milliseconds])


def test_a_source_with_an_edit_list_is_cut_as_players_show_it(tmp_path: Path) -> None:
    annotate(tmp_path / "annotations", "case_9001", [("Incision", 0.0, 3.0), ("Viscoelastic", 3.0, 6.0)])
    whole = make_video(tmp_path / "whole.mp4", seconds=12)
    source = tmp_path / "videos" / "case_9001.mp4"
    source.parent.mkdir()
    # A copy from 3.3 s on: it holds the frames from 2.0 s, and hides those up to 3.3 s.
    command = [ffmpeg_exe(), "-v", "error", "-ss", "3.3", "-i", str(whole), "-t", "8", "-c", "copy", str(source)]
    subprocess.run(command, check=True)
    shown = all_frames(source)
    assert np.array_equal(shown[0], all_frames(whole)[33])
    clips, _, _ = cut(tmp_path)
    assert [clip.n_frames for clip in clips] == [30, 30]
    assert_exact(tmp_path, clips, source, steady(len(shown) / 10))


def test_full_check_and_no_check_give_the_same_files(tmp_path: Path) -> None:
    annotate(tmp_path / "annotations", "case_9001", PHASES)
    make_video(tmp_path / "videos" / "case_9001.mp4", seconds=16)
    found = []
    for check in ("auto", "full", "none"):
        cut(tmp_path, "--check", check)
        found.append((tmp_path / "clips.jsonl").read_bytes())
    assert found[0] == found[1] == found[2]


def test_packets_without_usable_times_are_re_encoded_to_the_bit_and_it_is_said(tmp_path: Path) -> None:
    annotate(tmp_path / "annotations", "case_9001", [("Incision", 0.5, 3.2), ("Viscoelastic", 4.0, 7.0)])
    # H.264 with reordered frames in AVI, which has no place for display times.
    source = make_video(tmp_path / "videos" / "case_9001.avi", seconds=8)
    clips, _, printed = cut(tmp_path)
    assert [(clip.method, clip.first_frame, clip.n_frames) for clip in clips] == [
        ("reencode", 0, 27),
        ("reencode", 0, 30),
    ]
    assert_exact(tmp_path, clips, source, steady(8))
    assert "2 clips re-encoded without loss" in printed
    assert "case_9001.avi" in printed


def test_rotated_video_keeps_its_frames_and_is_read_and_exported_upright(tmp_path: Path) -> None:
    annotate(tmp_path / "annotations", "case_9001", [("Incision", 2.5, 6.0)])
    source = make_video(tmp_path / "videos" / "case_9001.mp4", seconds=8, rotation=-90)
    (clip,), _, _ = cut(tmp_path)
    assert_exact(tmp_path, [clip], source, steady(8))
    assert (clip.width, clip.height) == (64, 96)
    target = tmp_path / "clips" / clip.path
    read = read_frames(target, [clip.first_frame, clip.first_frame + 3])
    with av.open(str(source)) as container:
        recorded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.array_equal(read[0], np.rot90(recorded[25], k=-1))
    export_exact(target, clip.first_frame, clip.n_frames, tmp_path / "export.mp4")
    exported = read_frames(tmp_path / "export.mp4", range(clip.n_frames))
    assert exported.shape == (35, 96, 64, 3)
    assert np.abs(exported[3].astype(int) - read[1]).mean() < 8


def test_exports_are_exact_in_length_silent_nameless_and_reproducible(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mp4", seconds=6, size=(97 - 1, 65 - 1), sound=True, metadata={"title": "J. Doe"})
    for name in ("one.mp4", "two.mp4"):
        export_exact(source, 13, 21, tmp_path / name)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    with av.open(str(tmp_path / "one.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert "title" not in container.metadata
        assert container.streams.video[0].frames == 21
    exported, original = read_frames(tmp_path / "one.mp4", range(21)), read_frames(source, range(12, 35))
    for n in (0, 20):
        distance = [np.abs(exported[n].astype(int) - frame).mean() for frame in original]
        assert int(np.argmin(distance)) == n + 1


def test_clips_carry_no_sound_and_no_metadata(tmp_path: Path) -> None:
    annotate(tmp_path / "annotations", "case_9001", PHASES)
    make_video(tmp_path / "videos" / "case_9001.mp4", seconds=16, sound=True, metadata={"title": "Jane Doe 1950"})
    clips, _, _ = cut(tmp_path)
    for clip in clips:
        data = (tmp_path / "clips" / clip.path).read_bytes()
        assert b"Jane" not in data
        with av.open(str(tmp_path / "clips" / clip.path)) as container:
            assert [stream.type for stream in container.streams] == ["video"]


def test_odd_inputs_give_one_line_and_one_rejection_a_clip_and_the_rest_goes_on(tmp_path: Path) -> None:
    annotations, videos = tmp_path / "annotations", tmp_path / "videos"
    odd: Phases = [("Incision", 0.5, 3.2), ("Viscoelastic", 4.0, 7.0)]
    for number in range(1, 9):
        annotate(annotations, f"case_900{number}", odd)
    make_video(videos / "case_9001.mp4", seconds=8)
    whole = make_video(tmp_path / "whole.mp4", seconds=8, container_options={"movflags": "faststart"}).read_bytes()
    (videos / "case_9002.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    unindexed = (videos / "case_9001.mp4").read_bytes()
    (videos / "case_9003.mp4").write_bytes(unindexed[: len(unindexed) // 2])
    make_video(videos / "case_9004.mp4", seconds=8, sound=True, picture=False)
    (videos / "case_9005.mp4").write_bytes(b"")
    (videos / "case_9006.mp4").write_text("<html>please log in</html>")
    make_video(videos / "case_9008.mp4", seconds=5)
    clips, rejected, printed = cut(tmp_path)
    assert [clip.id for clip in clips] == [
        "case_9001_Incision_0.50_3.20",
        "case_9001_Viscoelastic_4.00_7.00",
        "case_9002_Incision_0.50_3.20",
        "case_9008_Incision_0.50_3.20",
    ]
    assert [(one.case, one.reason) for one in sorted(rejected, key=lambda one: one.case)] == [
        ("case_9002", "truncated"),
        *[("case_9003", "truncated")] * 2,
        *[("case_9004", "no_video_stream")] * 2,
        *[("case_9005", "media_empty")] * 2,
        *[("case_9006", "media_unreadable")] * 2,
        *[("case_9007", "media_missing")] * 2,
        ("case_9008", "past_end"),
    ]
    for case in ("case_9003", "case_9004", "case_9005", "case_9006", "case_9007"):
        (line,) = [line for line in printed.splitlines() if f"{case}.mp4" in line]
        assert "2 clips left out" in line
    assert str(tmp_path) not in (tmp_path / "rejected.jsonl").read_text() + (tmp_path / "clips.jsonl").read_text()
    rejections = (tmp_path / "rejected.jsonl").read_bytes()
    (tmp_path / "clips.jsonl").unlink()
    _, _, printed = cut(tmp_path, "--max-rejected", "0.5", code=2)
    assert "12 of 16 planned clips could not be cut" in printed
    assert (tmp_path / "rejected.jsonl").read_bytes() == rejections
    assert not (tmp_path / "clips.jsonl").exists()


def test_an_unreadable_annotation_costs_its_case_alone(tmp_path: Path) -> None:
    for case in ("case_9001", "case_9002"):
        annotate(tmp_path / "annotations", case, [("Incision", 0.5, 3.2)])
        make_video(tmp_path / "videos" / f"{case}.mp4", seconds=4)
    (broken,) = (tmp_path / "annotations").rglob("case_9001_annotations_phases.csv")
    broken.write_text("caseId,comment\n9001,Incision\n")
    clips, rejected, printed = cut(tmp_path)
    assert [clip.case for clip in clips] == ["case_9002"]
    assert [(one.case, one.reason) for one in rejected] == [("case_9001", "annotation_unreadable")]
    assert str(broken) in printed
    assert str(tmp_path) not in (tmp_path / "rejected.jsonl").read_text()
    assert list((tmp_path / "clips" / "case_9001").iterdir()) == []
    cut(tmp_path, "--max-rejected", "0.4", code=2)
    assert "'-1' is not a share" in cut(tmp_path, "--max-rejected", "-1", code=2)[2]


def test_a_missing_videos_folder_is_an_error_at_once(tmp_path: Path) -> None:
    root = annotate(tmp_path / "annotations", "case_9001", PHASES)
    arguments = ("cut_videos", "--annotations", root, "--videos", tmp_path / "vidoes")
    said = run_script(*arguments, "--clips-dir", tmp_path / "c", "--output", tmp_path / "c.jsonl", code=2)
    assert "no such folder of media files" in said
    assert "vidoes" in said
    assert not (tmp_path / "c.jsonl").exists()
    run_script(*arguments, "--plan-only", "--output", tmp_path / "c.csv")


def test_a_table_gives_whole_clips_and_images_without_their_metadata(tmp_path: Path) -> None:
    make_video(tmp_path / "videos" / "a" / "scan.mp4", seconds=6)
    picture = Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3))
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "Dr. Doe"
    picture.save(tmp_path / "videos" / "photo.jpg", exif=exif, comment=b"Dr. Doe")
    (tmp_path / "annotations").mkdir()
    table = "case,media,start,end,label\np1,a/scan.mp4,,,Head\np1,a/scan.mp4,1.5,2.5,Femur\np2,photo.jpg,,,Head\n"
    (tmp_path / "annotations" / "table.csv").write_text(table)
    clips, rejected, _ = cut(tmp_path, "--adapter", "table")
    assert rejected == []
    assert [(c.id, c.path, c.start_s, c.end_s, c.n_frames, c.method) for c in clips] == [
        ("p1_Femur_1.50_2.50", "p1/p1_Femur_1.50_2.50.mp4", 1.5, 2.5, 10, "copy"),
        ("p1_Head_scan", "p1/p1_Head_scan.mp4", 0.0, 6.0, 60, "copy"),
        ("p2_Head_photo", "p2/p2_Head_photo.jpg", 0.0, 0.0, 1, "image"),
    ]
    assert_exact(tmp_path, clips[:2], tmp_path / "videos" / "a" / "scan.mp4", steady(6))
    copied = tmp_path / "clips" / clips[2].path
    assert b"Doe" in (tmp_path / "videos" / "photo.jpg").read_bytes()
    assert b"Doe" not in copied.read_bytes()
    assert np.array_equal(np.asarray(Image.open(copied)), np.asarray(Image.open(tmp_path / "videos" / "photo.jpg")))
    assert (clips[2].width, clips[2].height) == (40, 60)
    assert read_frames(copied, [0]).shape == (1, 60, 40, 3)


def test_collecting_sorts_and_refuses_an_id_that_occurs_twice(tmp_path: Path) -> None:
    shards = []
    for case in ("case_9002", "case_9001"):
        annotate(tmp_path / "annotations", case, PHASES)
        make_video(tmp_path / "videos" / f"{case}.mp4", seconds=16)
        cut(tmp_path, "--cases", case)
        shards.append((tmp_path / f"{case}.jsonl", tmp_path / f"{case}.rejected.jsonl"))
        (tmp_path / "clips.jsonl").rename(shards[-1][0])
        (tmp_path / "rejected.jsonl").rename(shards[-1][1])
    out = tmp_path / "shard.jsonl"
    clips, left = [pair[0] for pair in shards], [pair[1] for pair in shards]
    more = ("--rejected", *left, "--output", out, "--output-rejected", tmp_path / "shard.rejected.jsonl")
    run_script("collect_clips", "--clips", *clips, *more)
    both, rejected, _ = cut(tmp_path)
    assert records.read(out, Clip) == both
    assert records.read(tmp_path / "shard.rejected.jsonl", Rejection) == rejected
    assert len(both) == 6
    printed = run_script("collect_clips", "--clips", *clips, clips[0], *more, code=2)
    assert "case_9002_Incision_0.35_3.00" in printed
