"""The Cataract-1K adapter: the publisher's real files, and the odd ones users have."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from suture import registry
from suture.datasets import cataract1k as adapter
from suture.errors import InputError
from suture.records import Rejection

HEADER = "caseId,comment,frame,endFrame,sec,endSec"
PUBLISHED_PHASES = {
    "Incision": "Incision",
    "Viscoelastic": "Viscoelastic",
    "Capsulorhexis": "Capsulorhexis",
    "Hydrodissection": "Hydrodissection",
    "Phacoemulsification": "Phacoemulsification",
    "Irrigation/Aspiration": "Irrigation/Aspiration",
    "Capsule Pulishing": "Capsule Polishing",
    "Lens Implantation": "Lens Implantation",
    "Lens positioning": "Lens Positioning",
    "Viscoelastic_Suction": "Viscoelastic Suction",
    "Anterior_Chamber Flushing": "Anterior Chamber Flushing",
    "Tonifying/Antibiotics": "Tonifying/Antibiotics",
}


def phase_file(root: Path, *rows: str, header: str = HEADER, case: str = "case_1", folder: str = ".") -> Path:
    path = root / folder / case / f"{case}_annotations_phases.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def reasons(rejected: tuple[Rejection, ...]) -> dict[str, int]:
    return dict(Counter(one.reason for one in rejected))


def coco(root: Path, names: list[str], annotations: list[dict[str, Any]], categories: list[str]) -> Path:
    path = root / "segment_annotations" / "cases" / "case_1" / "annotations" / "instances.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": number, "file_name": name, "width": 1024, "height": 768, "license": "None"}
        for number, name in enumerate(names, start=1)
    ]
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories, start=1)],
    }
    path.write_text(json.dumps(content))
    return path


def seen(image: int, category: int, **changes: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "area": 100.0, "bbox": [1.0, 2.0, 10.0, 20.0], **changes}


# The publisher's files ------------------------------------------------------------------------------------------------


def test_real_files_have_the_cases_phases_and_frames_that_the_publisher_counts(cataract1k: Path) -> None:
    cases = {case: adapter.read_case(cataract1k, case) for case in adapter.case_ids(cataract1k)}
    with_phases = {case for case, content in cases.items() if content.segments}
    with_objects = {case for case, content in cases.items() if content.scenes}
    assert (len(cases), len(with_phases), len(with_objects)) == (17, 16, 11)
    assert with_objects - with_phases == {"case_5299"}
    rows = 0
    for case in with_phases:
        table = cataract1k / "phase_annotations" / case / f"{case}_annotations_phases.csv"
        with table.open(newline="") as handle:
            rows += sum(1 for _ in csv.DictReader(handle))
    assert sum(len(content.segments) for content in cases.values()) == rows == 277
    spelling = {s.published: s.label for content in cases.values() for s in content.segments}
    assert spelling == PUBLISHED_PHASES
    assert set(spelling.values()) == set(adapter.PHASES) - {"idle"}
    assert {reason for content in cases.values() for reason in reasons(content.rejected)} == {"second_frame"}


def test_the_row_of_no_length_stays_because_the_published_clips_count_it(cataract1k: Path) -> None:
    case = adapter.read_case(cataract1k, "case_5063")
    empty = [s for s in case.segments if s.start_s == s.end_s]
    assert [(s.published, s.start_s) for s in empty] == [("Viscoelastic_Suction", 266.45)]


def test_real_objects_are_named_by_each_files_own_table(cataract1k: Path) -> None:
    for case in ("case_5013", "case_5315"):  # the two category tables of the release
        content = adapter.read_case(cataract1k, case)
        path = cataract1k / "segment_annotations" / "cases" / case / "annotations" / "instances.json"
        raw = json.loads(path.read_text())
        names = {one["id"]: one["name"] for one in raw["categories"]}
        second = {one["id"] for one in raw["images"] if one["file_name"].endswith("_02.png")}
        expected = Counter(names[one["category_id"]] for one in raw["annotations"] if one["image_id"] not in second)
        got = Counter(one.published for scene in content.scenes for one in scene.objects)
        assert got == expected
        assert {one.name for scene in content.scenes for one in scene.objects} <= set(adapter.OBJECTS)
        merged = expected["Cornea"] + expected["cornea1"]
        assert sum(one.name == "Cornea" for scene in content.scenes for one in scene.objects) == merged


def test_image_numbers_become_the_times_of_the_published_rule(cataract1k: Path) -> None:
    scenes = adapter.read_case(cataract1k, "case_5315").scenes
    times = {scene.image: scene.time_s for scene in scenes}
    assert [times[f"case_53153_{k:02}.png"] for k in (1, 3, 4, 75)] == [0, 5, 10, 365]
    assert "case_53153_02.png" not in times
    assert [scene.time_s for scene in scenes] == sorted(times.values())


@pytest.mark.parametrize("inside", ["", "phase_annotations", "segment_annotations", "segment_annotations/cases"])
def test_the_root_may_be_any_folder_of_the_layout(cataract1k: Path, inside: str) -> None:
    root = cataract1k / inside
    case = adapter.read_case(root, "case_5013")
    assert bool(case.segments) == (not inside.startswith("segment"))
    assert bool(case.scenes) == (inside != "phase_annotations")
    assert "case_5013" in adapter.case_ids(root)


@pytest.mark.parametrize("folder", [".", "annotations", "annotations/phase_annotations", "Phase_Annotations"])
def test_the_synapse_layout_is_read(tmp_path: Path, folder: str) -> None:
    path = phase_file(tmp_path, "1,Incision,0,0,0,4", folder=folder)
    assert adapter.case_ids(tmp_path) == ["case_1"]
    assert adapter.case_files(tmp_path, "case_1") == [path]
    assert len(adapter.read_case(tmp_path, "case_1").segments) == 1


def test_what_is_no_case_folder_is_no_case(tmp_path: Path) -> None:
    phase_file(tmp_path, "1,Incision,0,0,0,4")
    for name in ("cases", "videos", "case_x", "__MACOSX"):
        (tmp_path / name).mkdir()
    (tmp_path / "case_7.mp4").touch()
    assert adapter.case_ids(tmp_path) == ["case_1"]
    with pytest.raises(InputError, match="no case folders"):
        adapter.case_ids(tmp_path / "videos")
    with pytest.raises(InputError, match="no annotation of 'case_2'; did you mean 'case_1'"):
        adapter.read_case(tmp_path, "case_2")


# Odd phase files ------------------------------------------------------------------------------------------------------


def test_spreadsheet_files_are_read(tmp_path: Path) -> None:
    path = phase_file(tmp_path)
    path.write_bytes(
        b"\xef\xbb\xbfEndSec;note;SEC;Comment\r\n"
        b"16,9;good;13,28;viscoelastic suction\r\n"
        b";;;\r\n"
        b'28.5;"a; b";17;CAPSULE-POLISHING\r\n'
    )
    segments = adapter.read_case(tmp_path, "case_1").segments
    assert [(s.label, s.published, s.start_s, s.end_s, s.row) for s in segments] == [
        ("Viscoelastic Suction", "viscoelastic suction", 13.28, 16.9, 2),
        ("Capsule Polishing", "CAPSULE-POLISHING", 17.0, 28.5, 4),
    ]


def test_an_unknown_phase_names_file_row_and_the_nearest_right_one(tmp_path: Path) -> None:
    path = phase_file(tmp_path, "1,Incision,0,0,0,4", "1,Lens Implantaton,0,0,5,9")
    with pytest.raises(
        InputError, match="unknown phase 'Lens Implantaton'; did you mean 'Lens Implantation'"
    ) as caught:
        adapter.read_case(tmp_path, "case_1")
    assert caught.value.where == f"{path}:3"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,Incision,0,0,9,4", "reversed_segment"),
        ("1,Incision,0,0,NaN,4", "not_a_time"),
        ("1,Incision,0,0,2,", "not_a_time"),
        ("1,Incision,0,0,2", "not_a_time"),
        ("1,Incision,0,0,inf,inf", "not_a_time"),
        ("1,Incision,0,0,-1,4", "negative_time"),
        ("1,,0,0,2,4", "missing_label"),
        ("2,Incision,0,0,2,4", "other_case"),
        ("1,Incision,0,0,2,4,5", "surplus_cells"),
        ("1,Incision,0,0,10,20", "duplicate_segment"),
        ("1,Incision,0,0,12,22", "overlapping_segment"),
    ],
)
def test_a_row_that_is_no_segment_is_a_counted_rejection(tmp_path: Path, row: str, reason: str) -> None:
    phase_file(tmp_path, "1,Incision,0,0,10,20", row, "1,Hydrodissection,0,0,30,40")
    case = adapter.read_case(tmp_path, "case_1")
    assert [s.start_s for s in case.segments] == [10, 30]
    assert reasons(case.rejected) == {reason: 1}
    assert case.rejected[0].where.endswith("case_1_annotations_phases.csv:3")
    assert not Path(case.rejected[0].where).is_absolute()


def test_rows_out_of_order_and_a_frames_rounding_are_no_fault(tmp_path: Path) -> None:
    phase_file(tmp_path, "1,Hydrodissection,0,0,19.97,30", "1,Incision,0,0,10,20")
    case = adapter.read_case(tmp_path, "case_1")
    assert [(s.label, s.row) for s in case.segments] == [("Incision", 3), ("Hydrodissection", 2)]
    assert case.rejected == ()


@pytest.mark.parametrize("number", ["1", "1.0", "case_1", "0001", ""])
def test_a_case_number_that_a_spreadsheet_rewrote_is_still_this_case(tmp_path: Path, number: str) -> None:
    phase_file(tmp_path, f"{number},Incision,0,0,0,4")
    assert len(adapter.read_case(tmp_path, "case_1").segments) == 1


def test_a_phase_inside_a_longer_one_does_not_hide_the_longer_ones_end(tmp_path: Path) -> None:
    phase_file(tmp_path, "1,Incision,0,0,0,20", "1,Viscoelastic,0,0,2,4", "1,Hydrodissection,0,0,10,30")
    case = adapter.read_case(tmp_path, "case_1")
    assert [s.label for s in case.segments] == ["Incision"]
    assert reasons(case.rejected) == {"overlapping_segment": 2}


def test_a_missing_column_and_the_file_of_another_case_are_errors(tmp_path: Path) -> None:
    phase_file(tmp_path, "1,Incision,0,0", header="caseId,comment,frame,sec")
    with pytest.raises(InputError, match="column 'endSec' is missing; found 'caseId', 'comment', 'frame', 'sec'"):
        adapter.read_case(tmp_path, "case_1")
    phase_file(tmp_path, "4687,Incision,0,0,0,4")
    with pytest.raises(InputError, match="every row is of case '4687', not of case_1"):
        adapter.read_case(tmp_path, "case_1")
    phase_file(tmp_path, header="")
    with pytest.raises(InputError, match="no header line"):
        adapter.read_case(tmp_path, "case_1")


def test_a_file_without_rows_is_reported(tmp_path: Path) -> None:
    phase_file(tmp_path)
    case = adapter.read_case(tmp_path, "case_1")
    assert case.segments == ()
    assert reasons(case.rejected) == {"no_phases": 1}


def test_a_case_added_within_one_tick_of_the_file_systems_clock_is_seen(tmp_path: Path) -> None:
    phase_file(tmp_path, "1,Incision,0,0,0,4")
    before = tmp_path.stat()
    assert adapter.case_ids(tmp_path) == ["case_1"]
    phase_file(tmp_path, "2,Incision,0,0,0,4", case="case_2")
    os.utime(tmp_path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert adapter.case_ids(tmp_path) == ["case_1", "case_2"]
    assert len(adapter.case_files(tmp_path, "case_2")) == 1


# Odd object files -----------------------------------------------------------------------------------------------------


def test_boxes_and_links_that_cannot_be_are_counted(tmp_path: Path) -> None:
    names = ["case1_01.png", "case1_02.png", "case1_03.png", "case1_003.png", "case1_last.png"]
    coco(
        tmp_path,
        names,
        [
            seen(1, 2),
            seen(1, 1, bbox=[1, 2, 0, 5]),
            seen(1, 1, area=float("nan")),
            seen(1, 1, bbox=None),
            seen(99, 1),
            seen(1, 99),
            seen(3, 3),
        ],
        ["Lens", "cornea1", "Irrigation-Aspiration"],
    )
    case = adapter.read_case(tmp_path, "case_1")
    assert [(scene.time_s, [one.name for one in scene.objects]) for scene in case.scenes] == [
        (0, ["Cornea"]),
        (5, ["Irrigation-Aspiration"]),
    ]
    assert reasons(case.rejected) == {
        "bad_box": 3,
        "unknown_image": 1,
        "unknown_category": 1,
        "second_frame": 1,
        "duplicate_frame": 1,
        "no_frame_number": 1,
    }


def test_an_unknown_object_and_a_broken_file_are_errors(tmp_path: Path) -> None:
    path = coco(tmp_path, ["case1_01.png"], [seen(1, 1)], ["Spatulla"])
    with pytest.raises(InputError, match="unknown object 'Spatulla'; did you mean 'Spatula'"):
        adapter.read_case(tmp_path, "case_1")
    coco(tmp_path, ["case2_01.png"], [seen(1, 1)], ["Lens"])
    with pytest.raises(InputError, match="images are of case_2, not of case_1"):
        adapter.read_case(tmp_path, "case_1")
    path.write_text('{"images": []}')
    with pytest.raises(InputError, match="not a COCO file") as caught:
        adapter.read_case(tmp_path, "case_1")
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Phacoemulsification Tip", "Phacoemulsification Tip"),
        ("phaco tip", "Phacoemulsification Tip"),
        ("IA", "Irrigation-Aspiration"),
        ("cartridge", "Lens Injector"),
        ("rhexis", "Capsulorhexis Cystotome"),
        ("rhexis forceps", "Capsulorhexis Forceps"),
        ("pupil1", "Pupil"),
    ],
)
def test_supervisely_files_are_read_in_both_vocabularies(tmp_path: Path, title: str, name: str) -> None:
    folder = tmp_path / "Images_and_Supervisely_Annotations" / "case_1" / "ann"
    folder.mkdir(parents=True)
    outline = [[10, 20], [40, 20], [40, 60], [10, 60]]
    content = {
        "size": {"height": 768, "width": 1024},
        "objects": [{"classTitle": title, "points": {"exterior": outline, "interior": []}}],
    }
    (folder / "case1_03.png.json").write_text(json.dumps(content))
    (scene,) = adapter.read_case(tmp_path, "case_1").scenes
    assert (scene.time_s, scene.image, scene.width, scene.height) == (5, "case1_03.png", 1024, 768)
    (one,) = scene.objects
    assert (one.name, one.published, one.area, one.bbox) == (name, title, 1200.0, (10.0, 20.0, 30.0, 40.0))


# Videos ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["case_1.mp4", "CASE_1.MP4", "case1.mov", "case_1/scan.avi", "videos/case_1.mkv"])
def test_the_video_of_a_case_is_found(tmp_path: Path, name: str) -> None:
    for other in ("case_11.mp4", "case_1.txt", "case_1.csv", name):
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / other).touch()
    assert adapter.case_media(tmp_path, tmp_path, "case_1") == [tmp_path / name]
    assert adapter.case_media(tmp_path, tmp_path, "case_2") == []


def test_of_several_videos_the_published_name_counts_else_all_are_told(tmp_path: Path) -> None:
    names = ["Case_1.mp4", "case_1.mov"]
    for name in names:
        (tmp_path / name).touch()
    assert adapter.case_media(tmp_path, tmp_path, "case_1") == [tmp_path / name for name in names]
    (tmp_path / "case_1.mp4").touch()
    assert adapter.case_media(tmp_path, tmp_path, "case_1") == [tmp_path / "case_1.mp4"]


# Folds ----------------------------------------------------------------------------------------------------------------


def fold_file(path: Path, cases: list[str], index: str = "") -> None:
    folder = "/home/someone/cluster/Images_and_Supervisely_Annotations"
    rows = [f"{n},{folder}/case_x/img/{case}_01.png,{folder}/mask/{case}_01.png" for n, case in enumerate(cases)]
    path.write_text("\n".join([f"{index},imgs,masks", *rows]) + "\n")


@pytest.mark.parametrize(
    ("name", "index"),
    [("Cat1k_instrument_{fold}_{split}.csv", "Unnamed: 0"), ("Cat1k_instrument_{split}_fold{fold}.csv", "")],
)
def test_fold_files_of_both_families_are_read(tmp_path: Path, name: str, index: str) -> None:
    cases = [f"case{5000 + n}" for n in range(10)]
    cases[3] = "case_53153"  # how the images of case_5315 are named
    for fold in range(5):
        test = cases[2 * fold : 2 * fold + 2]
        train = [case for case in cases if case not in test]
        fold_file(tmp_path / name.format(fold=fold, split="train"), train, index)
        fold_file(tmp_path / name.format(fold=fold, split="test"), test, index)
    folds = adapter.read_folds(tmp_path)
    assert len(folds) == 5
    assert folds[0]["test"] == ["case_5000", "case_5001"]
    assert folds[1]["test"] == ["case_5002", "case_5315"]
    assert sorted(case for fold in folds for case in fold["test"]) == sorted(folds[0]["train"] + folds[0]["test"])


def test_a_validation_file_is_the_val_split(tmp_path: Path) -> None:
    for split, case in (("train", "case5001"), ("validation", "case5002"), ("test", "case5003")):
        fold_file(tmp_path / f"Cat1k_instrument_{split}_fold0.csv", [case])
    assert adapter.read_folds(tmp_path) == [{"train": ["case_5001"], "val": ["case_5002"], "test": ["case_5003"]}]


def test_a_case_in_two_splits_of_a_fold_is_an_error(tmp_path: Path) -> None:
    fold_file(tmp_path / "x_0_train.csv", ["case5001", "case5002"])
    fold_file(tmp_path / "x_0_test.csv", ["case5002"])
    with pytest.raises(InputError, match="fold 0: case_5002 is in test and in train"):
        adapter.read_folds(tmp_path)
    (tmp_path / "x_0_test.csv").unlink()
    with pytest.raises(InputError, match="fold 0 has no test cases"):
        adapter.read_folds(tmp_path)
    with pytest.raises(InputError, match="no fold files"):
        adapter.read_folds(tmp_path / "elsewhere")


def test_a_fold_file_without_a_case_in_its_names_is_an_error(tmp_path: Path) -> None:
    fold_file(tmp_path / "x_0_train.csv", ["frame"])
    with pytest.raises(InputError, match=r"no case in the file name 'frame_01.png'"):
        adapter.read_folds(tmp_path)


def test_the_registry_finds_it_and_copies_of_the_files_read_alike(cataract1k: Path, tmp_path: Path) -> None:
    found = registry.dataset("cataract1k")
    shutil.copytree(cataract1k / "phase_annotations" / "case_5013", tmp_path / "annotations" / "case_5013")
    assert found.read_case(tmp_path, "case_5013").segments == found.read_case(cataract1k, "case_5013").segments
