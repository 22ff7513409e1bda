"""Cataract-1K: phase CSVs, object annotations (COCO or Supervisely), five-fold files.

Layouts, any of them, or a folder inside one of them:

- Synapse: ``annotations/case_XXXX/case_XXXX_annotations_phases.csv``
- the fine-tune's: ``phase_annotations/case_XXXX/case_XXXX_annotations_phases.csv`` and
  ``segment_annotations/cases/case_XXXX/annotations/instances.json``
- Supervisely: ``<folder>/case_XXXX/ann/<image>.json``

A case may have phases, objects or both.
"""

from __future__ import annotations

from pathlib import Path

from suture import delimited
from suture.datasets.cataract1k import layout, objects, phases
from suture.datasets.cataract1k.folds import read_folds
from suture.datasets.cataract1k.vocabulary import PASSED_OVER, SYNONYMS
from suture.errors import InputError
from suture.records import Case, Rejection, Scene, Segment

__all__ = [
    "OBJECTS",
    "OBJECT_KINDS",
    "PASSED_OVER",
    "PHASES",
    "REFERENCES",
    "SHARING",
    "SYNONYMS",
    "case_files",
    "case_ids",
    "case_media",
    "read_case",
    "read_folds",
]

SHARING = "open"
PHASES = phases.PHASES
OBJECTS = objects.OBJECTS
OBJECT_KINDS = dict.fromkeys(objects.ANATOMY, "anatomy") | dict.fromkeys(objects.INSTRUMENTS, "instruments")
REFERENCES = ("Pupil", "Cornea", "Lens")


def case_ids(root: Path) -> list[str]:
    """Lists the cases annotated under ``root``, sorted, by the names of their folders.

    Raises:
        InputError: no folder is named like a case.
    """
    found = layout.case_ids(root)
    if not found:
        raise InputError(
            "no case folders (like case_5013) found",
            where=root,
            fix="give the folder that holds phase_annotations/, annotations/ or the case folders",
        )
    return found


def case_files(root: Path, case: str) -> list[Path]:
    """Lists the annotation files of one case: its phase CSV, then its COCO file or its Supervisely files."""
    phase_files, object_files = layout.annotation_files(root, case)
    return [*phase_files, *object_files]


def case_media(root: Path, videos: Path, case: str) -> list[Path]:
    """Finds the video of a case: ``case_XXXX.mp4`` under ``videos``, or a video in ``videos/case_XXXX/``.

    Other spellings of the name and other video suffixes are accepted. A case
    has one video, whatever ``Segment.media`` calls it; where several files could
    be it, all are returned.
    """
    del root  # the video is found by the name of its case alone
    return layout.videos(videos, case)


def read_case(root: Path, case: str) -> Case:
    """Reads the phases and the object frames of one case; either may be absent.

    Raises:
        InputError: no annotation of this case, a file that cannot be read, an
            unknown phase or object name (file, row and nearest name are given).
    """
    phase_files, object_files = layout.annotation_files(root, case)
    if not phase_files and not object_files:
        raise InputError(
            f"no annotation of {case!r}{delimited.nearest(case, layout.case_ids(root))}",
            where=root,
            fix="needed: <case>_annotations_phases.csv, annotations/instances.json or ann/*.json in the case's folder",
        )
    if len(phase_files) > 1:
        raise InputError(
            f"{case} has {len(phase_files)} phase files", where=", ".join(map(str, phase_files)), fix="keep one of them"
        )
    segments: tuple[Segment, ...] = ()
    scenes: tuple[Scene, ...] = ()
    rejected: list[Rejection] = []
    for path in phase_files:
        segments, left_out = phases.read(root, path, case)
        rejected += left_out
    if object_files:
        scenes, left_out = objects.read(root, object_files, case)
        rejected += left_out
    return Case(id=case, segments=segments, scenes=scenes, rejected=tuple(rejected))
