"""The command that draws a case: its four files, in the publisher's formats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from support import SCRIPTS, run_script
from suture import registry
from suture.drawing.instruments import SHAPES
from suture.records import Case

CASE = "case_9001"
# As the red reflex of an empty eye is.
REDDISH = {"Capsulorhexis Cystotome", "Phacoemulsification Tip"}
COLOURS = {name: np.array(shape.colour) for name, shape in SHAPES.items()}


def paths(root: Path, case: str) -> dict[str, Path]:
    """The published layout below ``root``."""
    phases = root / "phase_annotations" / case
    return {
        "--phases": phases / f"{case}_annotations_phases.csv",
        "--video-info": phases / f"{case}_video.csv",
        "--objects": root / "segment_annotations" / "cases" / case / "annotations" / "instances.json",
        "--video": root / "videos" / f"{case}.mp4",
    }


def arguments(root: Path, case: str, *more: object) -> list[str]:
    outputs = [str(word) for pair in paths(root, case).items() for word in pair]
    return ["--case", case, *outputs, *map(str, more)]


def read(root: Path, case: str) -> Case:
    return registry.dataset("cataract1k").read_case(root, case)


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]


def coloured(picture: np.ndarray, name: str) -> np.ndarray:
    """Where a decoded picture is nearest to one instrument's colour; light and codec change it somewhat."""
    gaps = np.stack([np.abs(picture - colour).max(-1) for colour in COLOURS.values()])
    return (gaps.argmin(0) == list(COLOURS).index(name)) & (gaps.min(0) < 45)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    run_script("draw_case", *arguments(root, CASE))
    return root


def test_the_publisher_s_reader_takes_the_files_as_they_are(drawn: Path) -> None:
    case = read(drawn, CASE)
    assert case.rejected == ()
    labels = list(dict.fromkeys(segment.label for segment in case.segments))
    assert labels == [
        "Incision",
        "Viscoelastic",
        "Capsulorhexis",
        "Phacoemulsification",
        "Irrigation/Aspiration",
        "Lens Implantation",
        "Viscoelastic Suction",
        "Tonifying/Antibiotics",
    ]
    assert [scene.time_s for scene in case.scenes] == [5 * m for m in range(len(case.scenes))]
    for scene in case.scenes:
        names = [seen.name for seen in scene.objects]
        assert {"Cornea", "Pupil"} <= set(names) and len(names) == len(set(names))
        for seen in scene.objects:
            x, y, width, height = seen.bbox
            assert x >= 0 and y >= 0 and x + width <= scene.width and y + height <= scene.height
            assert 0 < seen.area <= width * height + 0.1


def test_the_files_are_laid_out_as_published(drawn: Path) -> None:
    outputs = paths(drawn, CASE)
    lines = outputs["--phases"].read_text().splitlines()
    assert lines[0] == "caseId,comment,frame,endFrame,sec,endSec"
    assert {"Viscoelastic_Suction", "Tonifying/Antibiotics"} <= {line.split(",")[1] for line in lines[1:]}
    for line in lines[1:]:
        number, _, frame, end_frame, sec, end_sec = line.split(",")
        assert number == "9001"
        assert abs(int(frame) / 10 - float(sec)) <= 0.05 and abs(int(end_frame) / 10 - float(end_sec)) <= 0.05
    assert outputs["--video-info"].read_text().splitlines()[0] == "caseId,physician,done,date,fps"
    content = json.loads(outputs["--objects"].read_text())
    assert list(content) == ["info", "licenses", "images", "annotations", "categories"]
    names = [image["file_name"] for image in content["images"]]
    assert names == ["case9001_01.png", *(f"case9001_{k:02d}.png" for k in range(3, len(names) + 2))]
    assert all(image["license"] == "None" for image in content["images"])
    assert all(len(one["segmentation"][0]) >= 6 for one in content["annotations"])


def test_every_phase_and_every_scene_is_inside_the_video(drawn: Path) -> None:
    case = read(drawn, CASE)
    with av.open(str(paths(drawn, CASE)["--video"])) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (112, 112, 10)
        assert set(container.metadata) == {"major_brand", "minor_version", "compatible_brands"}
        assert set(stream.metadata) == {"language", "handler_name"}
        packets = [packet for packet in container.demux(stream) if packet.dts is not None]
    duration = len(packets) / 10
    assert max(segment.end_s or 0 for segment in case.segments) < duration
    assert max(scene.time_s for scene in case.scenes) < duration
    keys = sorted(float(packet.pts * packet.time_base) for packet in packets if packet.is_keyframe)
    assert max(np.diff([*keys, duration])) <= 2.01
    assert any(packet.pts != packet.dts for packet in packets), "B-frames, as real encoders write them"


def test_the_video_shows_the_annotated_instruments_where_they_are_annotated(drawn: Path) -> None:
    frames = decoded(paths(drawn, CASE)["--video"])
    checked = set()
    for scene in read(drawn, CASE).scenes:
        picture = frames[round(scene.time_s * 10)]
        seen = {one.name: one for one in scene.objects if one.name in SHAPES}
        for name in SHAPES:
            where = coloured(picture, name)
            if name not in seen:
                assert name in REDDISH or where.sum() < 25, (name, scene.time_s)
                continue
            x, y, width, height = (round(value) for value in seen[name].bbox)
            inside = where[y : y + height + 1, x : x + width + 1].sum()
            assert inside >= 0.1 * seen[name].area, (name, scene.time_s)
            assert where.sum() - inside < 25, (name, scene.time_s)
            checked.add(name)
    assert len(checked) >= 8


def test_equal_arguments_give_equal_bytes(drawn: Path, tmp_path: Path) -> None:
    for name, hash_seed, more in (("again", "1", ()), ("other", "2", ("--seed", "8"))):
        command = [sys.executable, str(SCRIPTS / "draw_case.py"), *arguments(tmp_path / name, CASE, *more)]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": hash_seed})
    for option, path in paths(drawn, CASE).items():
        assert path.read_bytes() == paths(tmp_path / "again", CASE)[option].read_bytes(), option
        if option != "--video-info":
            assert path.read_bytes() != paths(tmp_path / "other", CASE)[option].read_bytes(), option


def test_annotations_are_drawn_again_at_another_size_and_rate(drawn: Path, tmp_path: Path) -> None:
    run_script("draw_case", *arguments(tmp_path, CASE, "--like", drawn, "--size", 96, 64, "--fps", 2))
    for option, path in paths(drawn, CASE).items():
        if option != "--video":
            assert paths(tmp_path, CASE)[option].read_bytes() == path.read_bytes(), option
    frames = decoded(paths(tmp_path, CASE)["--video"])
    case = read(drawn, CASE)
    assert frames[0].shape == (64, 96, 3)
    assert len(frames) >= 2 * max(segment.end_s or 0 for segment in case.segments)
    held = [(scene, one) for scene in case.scenes for one in scene.objects if one.name in SHAPES and one.area > 200]
    for scene, one in held:
        x, y, width, height = np.array(one.bbox) * ([96 / 112, 64 / 112] * 2)
        for shift_s in (-2, 0, 2):
            number = round(2 * (scene.time_s + shift_s))
            where = coloured(frames[min(number, len(frames) - 1)], one.name)
            inside = where[int(y) : round(y + height) + 1, int(x) : round(x + width) + 1]
            assert inside.sum() >= 0.15 * one.area * (96 * 64) / 112**2, (one.name, scene.time_s + shift_s)
    assert len(held) > 10
    start = round(2 * (case.segments[0].start_s + 1))
    assert not np.array_equal(frames[start], frames[start + 1]), "inside a phase no two frames are equal"


def test_real_cases_without_phases_or_without_objects_have_all_four_files(cataract1k: Path, tmp_path: Path) -> None:
    for case in ("case_5299", "case_5353", "case_5357"):
        run_script("draw_case", *arguments(tmp_path, case, "--like", cataract1k, "--size", 64, 48, "--fps", 2))
        real, again = read(cataract1k, case), read(tmp_path, case)
        assert [(one.published, one.start_s, one.end_s) for one in again.segments] == [
            (one.published, one.start_s, one.end_s) for one in real.segments
        ]
        assert again.scenes == real.scenes
        ends = [one.end_s or 0 for one in real.segments] + [scene.time_s for scene in real.scenes]
        assert len(decoded(paths(tmp_path, case)["--video"])) >= 2 * max(ends)
    assert paths(tmp_path, "case_5299")["--phases"].read_text() == "caseId,comment,frame,endFrame,sec,endSec\n"
    assert json.loads(paths(tmp_path, "case_5357")["--objects"].read_text())["images"] == []


def test_a_real_outline_has_its_instrument_s_colour(cataract1k: Path, tmp_path: Path) -> None:
    run_script("draw_case", *arguments(tmp_path, "case_5353", "--like", cataract1k, "--size", 128, 96, "--fps", 2))
    frames = decoded(paths(tmp_path, "case_5353")["--video"])
    found = 0
    for scene in read(cataract1k, "case_5353").scenes:
        for one in scene.objects:
            if one.name in SHAPES and one.area > 10_000:
                x, y, width, height = (round(value / 8) for value in one.bbox)
                where = coloured(frames[round(scene.time_s) * 2], one.name)[y : y + height + 1, x : x + width + 1]
                assert where.sum() >= 0.2 * one.area / 64, (one.name, scene.time_s)
                found += 1
    assert found > 20


def test_annotations_are_copied_only_where_asked_for(drawn: Path, tmp_path: Path) -> None:
    video = tmp_path / "only.mp4"
    run_script("draw_case", "--case", CASE, "--like", drawn, "--size", 64, 64, "--fps", 2, "--video", video)
    assert list(tmp_path.iterdir()) == [video]
    said = run_script("draw_case", "--case", CASE, "--video", tmp_path / "bare.mp4", code=2)
    assert "--phases" in said and "--objects" in said and list(tmp_path.iterdir()) == [video]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--size", 112, 111), "--size"),
        (("--size", 16, 16), "--size"),
        (("--fps", 0), "--fps"),
        (("--case", "surgery 9"), "case_9001"),
    ],
)
def test_what_cannot_be_drawn_is_refused(more: tuple[object, ...], said: str, tmp_path: Path) -> None:
    assert said in run_script("draw_case", *arguments(tmp_path, CASE, *more), code=2)
    assert not list(tmp_path.rglob("*.*"))


def test_a_case_that_is_not_annotated_is_refused_by_name(drawn: Path, tmp_path: Path) -> None:
    said = run_script("draw_case", *arguments(tmp_path, "case_9002", "--like", drawn), code=2)
    assert "case_9002" in said and not list(tmp_path.rglob("*.*"))
