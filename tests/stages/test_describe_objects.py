"""describe_objects.py: equal to the published file, and its own layout on real and hand-made cases."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path

import pytest

from support import make_clip, run_script
from suture import objects, records
from suture.errors import InputError
from suture.objects import Stretch
from suture.records import Case, Scene, SeenObject, Segment


def shuffled_copy(source: Path, target: Path) -> Path:
    """Copies the annotations, folders and files made in a shuffled order."""
    paths = [path for path in source.rglob("*") if path.is_file() and "expected" not in path.parts]
    random.Random(3).shuffle(paths)
    for path in paths:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return target


def test_published_mode_equals_the_published_file_whatever_the_order(cataract1k: Path, tmp_path: Path) -> None:
    root = shuffled_copy(cataract1k, tmp_path / "copy")
    lines = (cataract1k / "expected" / "clips.csv").read_text().splitlines()
    rows = lines[1:]
    random.Random(5).shuffle(rows)
    clips = tmp_path / "clips.csv"
    clips.write_text("\n".join([lines[0], *rows]) + "\n")
    run_script(
        "describe_objects",
        "--annotations",
        root,
        "--mode",
        "published",
        "--clips",
        clips,
        "--output",
        tmp_path / "a.json",
    )
    run_script("describe_objects", "--annotations", cataract1k, "--mode", "published", "--output", tmp_path / "b.json")
    expected = json.loads((cataract1k / "expected" / "case_objects.json").read_text())
    assert len(expected) == 10
    assert json.loads((tmp_path / "a.json").read_text()) == expected
    # Without --clips the published clips are planned: the same file, to the byte.
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_default_mode_on_real_cases_agrees_with_the_published_file(cataract1k: Path, tmp_path: Path) -> None:
    said = run_script(
        *("describe_objects", "--annotations", cataract1k, "--cases", "case_5299", "case_5013"),
        *("--output", tmp_path / "o.json", "--rejected", tmp_path / "rejected.jsonl"),
    )
    assert "2 cases, 136 frames" in said
    assert "second_frame 2" in said
    assert [row["reason"] for row in map(json.loads, (tmp_path / "rejected.jsonl").open())] == ["second_frame"] * 2
    got = json.loads((tmp_path / "o.json").read_text())
    published = json.loads((cataract1k / "expected" / "case_objects.json").read_text())["case_5013"]
    assert list(got) == ["case_5013", "case_5299"]
    assert list(got["case_5013"]) == sorted(published, key=int)
    for second, frame in got["case_5013"].items():
        assert frame["published_phase"] == published[second]["phase"]
        assert [(o["published"], o["bbox"], o["area"]) for o in frame["objects"]] == [
            (o["object_name"], o["bbox"], o["area"]) for o in published[second]["objects"]
        ]
    frame = got["case_5013"]["25"]
    assert (frame["phase"], frame["clip"], frame["image"]) == (
        "Viscoelastic",
        "case_5013_Viscoelastic_22.50_25.34",
        "case5013_07.png",
    )
    gauge = frame["objects"][0]
    assert (gauge["name"], gauge["bbox"]) == ("Gauge", [548.0, 429.0, 152.0, 338.0])
    assert gauge["bbox_norm"] == pytest.approx([548 / 1024, 429 / 768, 152 / 1024, 338 / 768], abs=1e-6)
    # Phases of case_5299 were never annotated: that is not idle time.
    assert {(frame["phase"], frame["clip"]) for frame in got["case_5299"].values()} == {("unknown", None)}


def scene(time_s: float, *seen: SeenObject) -> Scene:
    return Scene(time_s=time_s, image=f"frame_{time_s:g}.png", width=200, height=100, objects=seen)


def segment(label: str, start_s: float, end_s: float, row: int = 2) -> Segment:
    return Segment(label=label, published=label.lower(), media="m.mp4", start_s=start_s, end_s=end_s, row=row)


LENS = SeenObject(name="Lens", published="lens", area=50.0, bbox=(20.0, 10.0, 100.0, 50.0))
CASE = Case(
    id="c",
    segments=(segment("Incision", 5, 10), segment("Suture", 10, 15, 3)),
    scenes=(scene(2.5), scene(5, LENS), scene(10, LENS), scene(15, LENS)),
)


def test_a_frame_belongs_to_what_starts_at_it_not_to_what_ends_at_it() -> None:
    clips = [Stretch("c", 10.0, 15.0, "second"), Stretch("c", 5.0, 10.0, "first"), Stretch("d", 0.0, 99.0, "other")]
    got = objects.describe(CASE, clips)
    assert {second: (frame["phase"], frame["clip"]) for second, frame in got.items()} == {
        "2.5": ("idle", None),
        "5": ("Incision", "first"),
        "10": ("Suture", "second"),
        "15": ("idle", None),
    }
    assert got["5"]["objects"] == [
        {
            "name": "Lens",
            "published": "lens",
            "area": 50.0,
            "bbox": [20.0, 10.0, 100.0, 50.0],
            "bbox_norm": [0.1, 0.1, 0.5, 0.5],
        }
    ]


def test_published_borders_count_on_both_sides_and_frames_without_objects_are_left_out() -> None:
    clips = [Stretch("c", 0, 0, "c_suture_10.00_15.00"), Stretch("c", 0, 0, "c_incision_5.00_10.00")]
    got = objects.describe_published(CASE, clips)
    assert {second: (frame["phase"], frame["video_filename"]) for second, frame in got.items()} == {
        "5": ("incision", "c_incision_5.00_10.00"),
        "10": ("incision", "c_incision_5.00_10.00"),
        "15": ("suture", "c_suture_10.00_15.00"),
    }
    assert objects.describe_published(Case(id="c", scenes=CASE.scenes), clips) == {}
    with pytest.raises(InputError, match="clip name 'holiday' does not end in its start and end"):
        objects.describe_published(CASE, [Stretch("c", 0, 0, "holiday")])


def test_clips_are_read_from_manifests_and_lists(tmp_path: Path) -> None:
    records.write(tmp_path / "clips.jsonl", [make_clip(id="c_Incision_5.00_10.00", case="c", start_s=5.0, end_s=10.0)])
    with (tmp_path / "clips.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows(
            [["file", "case", "duration_s", "start_s"], ["c_Viscoelastic_17.40_22.50.mp4", "c", "5.099", "17.401"]]
        )
    assert objects.read_clips(tmp_path / "clips.jsonl") == [Stretch("c", 5.0, 10.0, "c_Incision_5.00_10.00")]
    assert objects.read_clips(tmp_path / "clips.csv") == [Stretch("c", 17.401, 22.5, "c_Viscoelastic_17.40_22.50")]
    (tmp_path / "bad.csv").write_text("case,file,start_s,duration_s\nc,x.mp4,one,2\n")
    with pytest.raises(InputError, match="start_s and duration_s are not times") as caught:
        objects.read_clips(tmp_path / "bad.csv")
    assert caught.value.where == f"{tmp_path / 'bad.csv'}:2"
    with pytest.raises(InputError, match="unknown kind"):
        objects.read_clips(tmp_path / "clips.txt")


def test_a_case_that_cannot_be_read_is_left_out_in_one_line_with_the_way_out(tmp_path: Path) -> None:
    for case, phase in (("case_1", "Incisoin"), ("case_2", "Incision")):
        folder = tmp_path / "a" / case
        (folder / "annotations").mkdir(parents=True)
        (folder / f"{case}_annotations_phases.csv").write_text(f"comment,sec,endSec\n{phase},1,9\n")
        coco = {
            "images": [{"id": 1, "file_name": f"{case.replace('_', '')}_03.png", "width": 8, "height": 8}],
            "categories": [],
            "annotations": [],
        }
        (folder / "annotations" / "instances.json").write_text(json.dumps(coco))
    out, left = tmp_path / "o.json", tmp_path / "r.jsonl"
    said = run_script(
        "describe_objects", "--annotations", tmp_path / "a", "--output", out, "--rejected", left, "--mode", "default"
    )
    (line,) = [line for line in said.splitlines() if "case_1" in line]
    assert "case_1 is left out: unknown phase 'Incisoin'; did you mean 'Incision'?" in line
    assert "case_1_annotations_phases.csv:2" in line
    assert list(json.loads(out.read_text())) == ["case_2"]
    (row,) = map(json.loads, left.open())
    assert (row["stage"], row["reason"], row["case"]) == ("annotations", "annotation_unreadable", "case_1")
    assert row["where"] == "case_1/case_1_annotations_phases.csv:2"
    assert str(tmp_path) not in left.read_text()
    run_script(
        *("cut_videos", "--annotations", tmp_path / "a", "--plan-only", "--output", tmp_path / "c.csv"),
        *("--rejected", tmp_path / "cut.jsonl"),
    )
    assert (tmp_path / "cut.jsonl").read_text() == left.read_text(), "gathered, the two count once"
    said = run_script("describe_objects", "--annotations", tmp_path / "a", "--cases", "case_3", "--output", out, code=2)
    assert "no case 'case_3'" in said
