"""Adapter video_folder: lists and class folders as people have them, and what is wrong with them said by name."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from suture import registry
from suture.datasets import bagls, balanced, duke, polypdiag, video_folder
from suture.datasets.base import read_split
from suture.errors import InputError


def write(root: Path, texts: dict[str, str], *, encoding: str = "utf-8") -> Path:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding=encoding, newline="")
    return root


LISTS = {
    "splits/train.txt": "a.mp4,0\nb.mp4,1\n",
    "splits/val.txt": "c.mp4,1\n",
    "splits/test.txt": "sub dir/d.mp4,0\n",
}


def labels(root: Path, adapter: object = video_folder) -> dict[str, list[tuple[str, str]]]:
    found = {}
    for case in adapter.case_ids(root):  # type: ignore[attr-defined]
        read = adapter.read_case(root, case)  # type: ignore[attr-defined]
        found[case] = [(one.media, one.label) for one in read.segments]
    return found


def test_published_lists(tmp_path: Path) -> None:
    root = write(tmp_path, LISTS)
    assert labels(root, duke) == {
        "a": [("a.mp4", "non_referral")],
        "b": [("b.mp4", "referral")],
        "c": [("c.mp4", "referral")],
        "sub_dir_d": [("sub dir/d.mp4", "non_referral")],
    }
    assert read_split(duke, root) == {"a": "train", "b": "train", "c": "val", "sub_dir_d": "test"}
    segment = duke.read_case(root, "b").segments[0]
    assert (segment.whole, segment.start_s, segment.end_s) == (True, 0.0, None)
    assert [(turn.answer, turn.kind) for turn in segment.turns] == [("referral", "class")]


@pytest.mark.parametrize(
    ("adapter", "names"),
    [
        (polypdiag, ["normal", "abnormal"]),
        (bagls, ["non_referral", "referral"]),
        (duke, ["non_referral", "referral"]),
        (balanced, ["non_referral", "referral"]),
        (video_folder, ["0", "1"]),
    ],
)
def test_named_datasets_know_their_classes(tmp_path: Path, adapter: object, names: list[str]) -> None:
    found = labels(write(tmp_path, LISTS), adapter)
    assert [found["a"][0][1], found["b"][0][1]] == names


def test_a_file_names_more_than_two_classes(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {"splits/train.csv": "a.mp4,2\nb.mp4,0\nc.mp4,polyp\n", "splits/labels.txt": "normal\npolyp\ncancer\n"},
    )
    assert [one[0][1] for one in labels(root).values()] == ["cancer", "normal", "polyp"]
    write(tmp_path, {"splits/labels.txt": "1 normal\n2 polyp\n3 cancer\n"})  # classInd.txt counts from 1
    assert [one[0][1] for one in labels(root).values()] == ["cancer", "normal", "polyp"]


def test_a_bom_windows_line_ends_a_header_and_mixed_case(tmp_path: Path) -> None:
    text = "path,label\r\nA.mp4,Referral\r\n\r\nsub\\b.mp4,referral\r\nc.mp4,NON_REFERRAL\r\n"
    root = write(tmp_path, {"splits/Train.csv": text}, encoding="utf-8-sig")
    assert [one[0] for one in labels(root, duke).values()] == [
        ("A.mp4", "referral"),
        ("c.mp4", "non_referral"),
        ("sub/b.mp4", "referral"),
    ]
    assert {one[0][1] for one in labels(root).values()} == {"NON_REFERRAL", "Referral"}


def rejections(root: Path, adapter: object = video_folder) -> dict[str, str]:
    found = {}
    for case in adapter.case_ids(root):  # type: ignore[attr-defined]
        for one in adapter.read_case(root, case).rejected:  # type: ignore[attr-defined]
            found[one.reason] = one.detail
    return found


def test_lines_that_cannot_be_used_are_counted_with_their_reason(tmp_path: Path) -> None:
    text = "a.mp4,0\na.mp4,0\nb.mp4,1\nb.mp4,0\n# c.mp4\nd.mp4,\ne.mp4,7\n,1\nf.mp4,0,p,x\n"
    assert rejections(write(tmp_path, {"splits/train.txt": text}), duke) == {
        "duplicate_row": "train.txt:2: a.mp4 is listed in row 1 already",
        "conflicting_label": "train.txt:4: b.mp4 is 'referral' in row 3 and 'non_referral' here",
        "odd_line": "train.txt:9: 4 cells, not path,label or path,label,patient",
        "missing_label": "train.txt:6: d.mp4 has no label",
        "unknown_label": "train.txt:7: e.mp4 has label '7'; the classes are non_referral, referral",
        "missing_media": "train.txt:8: no path",
    }


def test_patients_are_cases_and_stay_in_one_split(tmp_path: Path) -> None:
    root = write(tmp_path, {**LISTS, "splits/patients.csv": "path,patient\na.mp4,p1\nb.mp4,p1\nc.mp4,p2\n"})
    assert labels(root, duke)["p1"] == [("a.mp4", "non_referral"), ("b.mp4", "referral")]
    assert read_split(duke, root) == {"p1": "train", "p2": "val", "sub_dir_d": "test"}
    write(root, {"splits/patients.csv": "a.mp4,p1\nc.mp4,p1\n"})
    with pytest.raises(InputError, match=r"patient 'p1' has 'a.mp4' in train and 'c.mp4' in val"):
        read_split(duke, root)
    write(root, {"splits/patients.csv": "z.mp4,p1\n"})
    with pytest.raises(InputError, match=r"'z.mp4' is in no list"):
        duke.case_ids(root)
    (root / "splits/patients.csv").unlink()
    write(root, {"splits/train.txt": "a.mp4,0,p7\n"})
    assert "p7" in labels(root)


def test_a_video_in_two_splits_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path, {**LISTS, "splits/test.txt": "a.mp4,0\n"})
    with pytest.raises(InputError, match=r"'a.mp4' is in train \(train.txt:1\) and in test"):
        duke.case_ids(root)


def test_several_datasets_in_one_folder(tmp_path: Path) -> None:
    root = write(tmp_path, {f"bagls-split:v0/{name}": text for name, text in LISTS.items()})
    write(root, {f"balanced-dataset/{name}": text for name, text in LISTS.items()})
    found = labels(root, balanced)
    assert found["balanced-dataset.a"] == [("balanced-dataset/videos/a.mp4", "non_referral")]
    assert found["bagls-split_v0.b"] == [("bagls-split:v0/videos/b.mp4", "referral")]
    assert len(found) == 8
    assert balanced.case_files(root, "balanced-dataset.a")[0].parent == root / "balanced-dataset/splits"


def test_class_folders_with_and_without_splits(tmp_path: Path) -> None:
    for name in (
        "train/referral/a.mp4",
        "train/non_referral/b.MP4",
        "validation/referral/c.avi",
        "train/referral/._a.mp4",
    ):
        write(tmp_path / "split", {name: ""})
    write(tmp_path / "plain", {"normal/a.mp4": "", "polyp/b.mp4": "", "polyp/notes.txt": ""})
    assert labels(tmp_path / "split", duke) == {
        "train_non_referral_b": [("train/non_referral/b.MP4", "non_referral")],
        "train_referral_a": [("train/referral/a.mp4", "referral")],
        "validation_referral_c": [("validation/referral/c.avi", "referral")],
    }
    assert set(read_split(duke, tmp_path / "split").values()) == {"train", "val"}
    assert {one[0][1] for one in labels(tmp_path / "plain").values()} == {"normal", "polyp"}
    with pytest.raises(InputError, match="is in no split"):
        read_split(video_folder, tmp_path / "plain")


def test_missing_media_are_those_that_do_not_exist(tmp_path: Path) -> None:
    root = write(tmp_path, {**LISTS, "videos/a.mp4": "x"})
    assert duke.case_media(root, root / "videos", "a") == [root / "videos/a.mp4"]
    assert duke.case_media(root, root / "videos", "b") == []


@pytest.mark.parametrize("path", ["../x.mp4", "/etc/x.mp4", "C:/x.mp4", "a/../../x.mp4"])
def test_paths_do_not_lead_out_of_the_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="leads out of the videos folder"):
        video_folder.case_ids(write(tmp_path, {"splits/train.txt": f"{path},0\n"}))


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ({"readme.md": ""}, "neither lists of videos nor folders named by class"),
        ({"splits/train.txt": "\n"}, "no video is listed"),
        ({"splits/train.txt": "a.mp4,0\n", "splits/train.csv": "a.mp4,0\n"}, "both list train"),
        ({"splits/train.txt": "a b.mp4,0\na_b.mp4,1\n"}, "would both be case a_b"),
        ({"splits/train.txt": "a.mp4,0\n", "splits/labels.txt": "0 x\n2 y\n"}, "a gap or a repeat"),
        ({"splits/train.txt": "a.mp4,0\n", "splits/labels.txt": "x\nX\n"}, "named twice"),
    ],
)
def test_folders_that_cannot_be_read(tmp_path: Path, texts: dict[str, str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        video_folder.case_ids(write(tmp_path, texts))


def test_an_edited_list_is_read_again_and_concerns_its_own_cases(tmp_path: Path) -> None:
    root = write(tmp_path, LISTS)
    before = {case: duke.case_digest(root, case) for case in duke.case_ids(root)}
    write(root, {"splits/train.txt": "b.mp4,0\na.mp4,0\nnew.mp4,1\n"})
    after = {case: duke.case_digest(root, case) for case in duke.case_ids(root)}
    assert {case for case in after if after[case] != before.get(case)} == {"b", "new"}
    assert after["c"] == before["c"]


def test_parsing_thousands_of_videos_is_quick(tmp_path: Path) -> None:
    root = write(tmp_path, {"splits/train.txt": "".join(f"v{n:05d}.mp4,{n % 2}\n" for n in range(3000))})
    started = time.process_time()
    for case in duke.case_ids(root):
        duke.case_files(root, case)
    assert time.process_time() - started < 2


def test_they_are_found_by_name() -> None:
    assert {"video_folder", "bagls", "duke", "balanced", "polypdiag"} <= set(registry.names("dataset adapter"))
