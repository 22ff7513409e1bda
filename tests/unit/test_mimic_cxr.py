"""The MIMIC-CXR adapter: sections, cleaning, views, patients, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

import chest_files
from chest_files import REPORT, picture
from suture import registry
from suture.datasets import mimic_cxr as adapter
from suture.datasets.base import annotation_digest, read_split
from suture.datasets.mimic_cxr import cleaning, sections
from suture.errors import ConfigError, InputError
from suture.sources import find_media

STUDY = "p10/p10000001/s50000001.txt"
ROWS = [
    "aaa,10000001,50000001,CHEST,PA,10,10",
    "bbb,10000001,50000001,CHEST,LATERAL,10,10",
    "ccc,10000001,50000002,CHEST,,10,10",
    "ddd,10000002,50000003,CHEST,AP,10,10",
    "eee,10000002,50000004,CHEST,AP,10,10",
    "fff,10000003,50000005,CHEST,LL,10,10",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    reports = {STUDY: REPORT, "p10/p10000002/s50000003.txt": "\n TECHNIQUE:  Drawn.\n"}
    return chest_files.write(tmp_path / "mimic", ROWS, reports)


def test_sections_are_told_by_their_headers_and_the_last_of_a_name_counts() -> None:
    found = sections.sections(REPORT)
    assert found["impression"] == "Large heart.  Nodule!"
    assert found["findings"].startswith("1. The heart is large.")
    assert found["examination"] == "CHEST (PA AND LAT)"
    twice = sections.sections("x\n IMPRESSION:  First one.\n\n IMPRESION:  Second one.\n")
    assert twice["impression"] == "Second one."


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("FINDINGS AND IMPRESSION", "impression"),
        ("CHEST, TWO VIEWS", "findings"),
        ("PORTABLE SUPINE FILM", "findings"),
        ("FINDNGS", "findings"),
        ("REASON FOR EXAM", "indication"),
        ("PRIOR COMPARISON STUDY", "comparison"),
        ("NOTE", "note"),
    ],
)
def test_headers_are_brought_to_one_spelling(header: str, name: str) -> None:
    assert sections.canonical(header) == name


def test_an_empty_title_that_reads_like_findings_is_no_section() -> None:
    found = sections.sections("x\n CHEST, PA LATERAL: \n \n INDICATION:  Drawn.\n \n All is well here.\n")
    assert "findings" not in found
    assert found["last_paragraph"] == "All is well here."


def test_cleaning_as_mgca_and_a_gentler_one() -> None:
    text = "Large heart.\n 1. A nodule of 2.5 cm, unchanged.  2. Ok. No ___ edema – none!"
    # By MGCA's own code: numbers with a full stop divide, words alone are kept, one word is no sentence.
    assert cleaning.mgca(text) == "Large heart. A nodule of. 5 cm unchanged. No ___ edema none."
    assert cleaning.gentle(text) == "Large heart. A nodule of 2.5 cm, unchanged. Ok. No ___ edema – none!"


def test_frontal_images_get_their_study_s_report_and_the_rest_is_counted_by_reason(root: Path) -> None:
    # p10000003 has a lateral image only.
    assert adapter.case_ids(root) == ["p10000001", "p10000002"]
    case = adapter.read_case(root, "p10000001")
    (segment,) = case.segments
    assert (segment.media, segment.label, segment.end_s) == ("50000001-aaa.jpg", "PA", None)
    # "Nodule!" is one word, and MGCA's full stops tear 2.5 cm apart.
    expected = "Large heart. The heart is large. A nodule of. 5 cm is in the left lung unchanged."
    assert segment.turns[0].answer == expected
    assert [one.reason for one in case.rejected] == ["not_frontal"]
    other = adapter.read_case(root, "p10000002")
    assert other.segments == ()
    assert [one.reason for one in other.rejected] == ["no_sections", "no_report"]
    told = " ".join(one.detail + one.where for one in (*case.rejected, *other.rejected))
    assert "heart" not in told and "Drawn" not in told


def test_options_choose_views_cleaning_and_one_sample_a_study(root: Path) -> None:
    every = registry.dataset("mimic_cxr:cleaning=gentle,images=study,sections=findings,views=all")
    (segment,) = every.read_case(root, "p10000001").segments
    assert (segment.media, segment.beside) == ("50000001-aaa.jpg", ("50000001-bbb.jpg",))
    assert segment.turns[0].answer == "The heart is large. A nodule of 2.5 cm is in the left lung, unchanged."
    assert every.case_ids(root) == ["p10000001", "p10000002", "p10000003"]
    for wrong in ("views=frontl", "view=all"):
        with pytest.raises(ConfigError, match="dataset_options"):
            registry.dataset(f"mimic_cxr:{wrong}")


@pytest.mark.parametrize(
    "place", ["50000001-aaa.png", "p10/p10000001/s50000001/aaa.jpg", "files/p10/p10000001/s50000001/aaa.jpg"]
)
def test_images_are_found_in_both_layouts(root: Path, tmp_path: Path, place: str) -> None:
    there = picture(tmp_path / "images" / place)
    (segment,) = adapter.read_case(root, "p10000001").segments
    assert adapter.case_media(root, tmp_path / "images", "p10000001") == [there]
    assert find_media(adapter, root, tmp_path / "images", "p10000001", [segment.media]) == {segment.media: there}


def test_a_sectioned_table_stands_for_the_report_files(root: Path) -> None:
    (root / "mimic_cxr_sectioned.csv").write_text(
        "study,impression,findings,last_paragraph,comparison\n"
        's50000001,,"Clear lungs, drawn well.",,\ns50000003,Two words,,,\ns50000004,nan,,Something here.,\n'
    )
    assert adapter.read_case(root, "p10000001").segments[0].turns[0].answer == "Clear lungs drawn well."
    assert [one.reason for one in adapter.read_case(root, "p10000002").rejected] == ["report_too_short", "no_sections"]


def test_an_edit_of_one_patient_s_report_concerns_that_patient_alone(root: Path) -> None:
    before = {case: annotation_digest(adapter, root, case) for case in adapter.case_ids(root)}
    (root / "files" / STUDY).write_text(REPORT.replace("Nodule", "Two nodules"))
    after = {case: annotation_digest(adapter, root, case) for case in adapter.case_ids(root)}
    assert before["p10000001"] != after["p10000001"]
    assert before["p10000002"] == after["p10000002"]


def test_the_official_split_is_by_patient_or_refused(tmp_path: Path) -> None:
    ordered = "aaa,50000001,10000001,train\nddd,50000003,10000002,validate\n"
    root = chest_files.write(tmp_path / "a", [ROWS[0], ROWS[3]], {}, split=ordered)
    assert read_split(adapter, root) == {"p10000001": "train", "p10000002": "val"}
    torn = chest_files.write(tmp_path / "b", [ROWS[0]], {}, split=ordered + "bbb,50000009,10000001,test\n")
    with pytest.raises(InputError, match="p10000001 is in train and in test"):
        read_split(adapter, torn)
    short = chest_files.write(tmp_path / "c", [ROWS[0], ROWS[4]], {}, split="aaa,50000001,10000001,train\n")
    with pytest.raises(InputError, match="p10000002 is in no split"):
        read_split(adapter, short)


def test_a_packed_or_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no metadata table"):
        adapter.case_ids(tmp_path)
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(b"")
    with pytest.raises(InputError, match="gunzip"):
        adapter.case_ids(tmp_path)
