"""MIMIC-CXR's studies become cases: a patient's images, each with the report of its study as the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from suture import delimited, files
from suture.dataset_options import replaced
from suture.datasets.mimic_cxr import cleaning, tables
from suture.datasets.mimic_cxr.tables import Image
from suture.errors import InputError
from suture.records import Case, Rejection, Segment, Turn

STAGE = "annotations"
QUESTION = "Illustrate the image through a detailed medical report"
"""The published conversations' one question."""
KIND = "report"
FRONTAL = ("PA", "AP")
SUFFIXES = (".jpg", ".jpeg", ".png")

OPTIONS: dict[str, tuple[str, ...]] = {
    "views": ("frontal", "all"),
    "images": ("one", "study"),
    "cleaning": tuple(cleaning.CLEANING),
    "sections": ("impression_findings", "findings", "impression"),
}
"""How the data may be read, the default first; see docs/llava-med.md."""


@dataclass(frozen=True, kw_only=True)
class MimicCxr:
    """An adapter (see :class:`suture.datasets.base.Adapter`).

    Args:
        views: ``frontal``: PA and AP; ``all``.
        images: ``one`` a sample, or all those of a ``study`` in one.
        cleaning: by name, see :mod:`.cleaning`.
        sections: what of a report is the answer, in that order.
    """

    views: str = "frontal"
    images: str = "one"
    cleaning: str = "mgca"
    sections: str = "impression_findings"

    SHARING: ClassVar[str] = "credentialed"
    STILLS: ClassVar[bool] = True
    OBJECT_KINDS: ClassVar[dict[str, str]] = {}
    REFERENCES: ClassVar[tuple[str, ...]] = ()

    def with_options(self, options: Mapping[str, str]) -> Self:
        """Returns this adapter with other options.

        Raises:
            ConfigError: an option or a value that is not known.
        """
        return replaced(self, options, OPTIONS)

    def case_ids(self, root: Path) -> list[str]:
        """Lists the patients with at least one image that is read, sorted."""
        return sorted(case for case, found in tables.images(root).items() if any(map(self._is_read, found)))

    def case_files(self, root: Path, case: str) -> list[Path]:
        """Lists the tables and the patient's reports."""
        found = [tables.table(root, tables.METADATA, "metadata")]
        sectioned = tables.table(root, tables.SECTIONED, "sectioned", needed=False)
        reports = [] if sectioned else [tables.report_file(root, image) for image in self._images_of(root, case)]
        return sorted({path for path in [*found, sectioned, *reports] if path is not None})

    def case_media(self, root: Path, videos: Path, case: str) -> list[Path]:
        """Lists the patient's images that are read, those that exist: in MIMIC's tree, or all in one folder."""
        found = (self.find(videos, image) for image in self._images_of(root, case) if self._is_read(image))
        return sorted({path for path in found if path is not None})

    def find(self, videos: Path, image: Image) -> Path | None:
        """Finds the file of an image."""
        tree = f"{image.case[:3]}/{image.case}/s{image.study}/{image.dicom}"
        stem = image.media.rsplit(".", 1)[0]
        places = (f"files/{tree}", tree, stem, f"images/{stem}", image.dicom)
        names = (videos / f"{place}{suffix}" for place in places for suffix in SUFFIXES)
        return next((path for path in names if path.is_file()), None)

    def read_case(self, root: Path, case: str) -> Case:
        """Reads a patient's studies.

        Rejections, by study: not_frontal (no image of it is PA or AP), no_report, no_sections (neither findings
        nor impression), report_too_short (under 3 words); by image: duplicate_image. None holds a word of a report.
        """
        segments: list[Segment] = []
        rejected: list[Rejection] = []
        seen: set[str] = set()
        for study, found in sorted(_by_study(self._images_of(root, case)).items()):
            chosen: list[Image] = []
            for image in filter(self._is_read, found):
                if image.dicom in seen:
                    rejected.append(_left_out(case, image, "duplicate_image", "is there twice"))
                else:
                    chosen.append(image)
                    seen.add(image.dicom)
            if not chosen:
                if not any(map(self._is_read, found)):
                    views = ", ".join(sorted({image.view or "none told" for image in found}))
                    rejected.append(_left_out(case, found[0], "not_frontal", f"study s{study} has only {views}"))
                continue
            text, problem = self._text(root, chosen[0])
            if problem:
                rejected.append(_left_out(case, chosen[0], problem, f"study s{study}: {problem.replace('_', ' ')}"))
                continue
            turn = Turn(question=QUESTION, answer=text, kind=KIND)
            for images in [chosen] if self.images == "study" else [[one] for one in chosen]:
                segments.append(_segment(images, turn))
        return Case(id=case, segments=tuple(segments), rejected=tuple(rejected))

    def case_digest(self, root: Path, case: str) -> str:
        """Returns a digest of what is read of one patient: all share the tables."""
        read = self.read_case(root, case)
        return files.sha256_text(repr(([replace(segment, row=0) for segment in read.segments], read.rejected)))

    def read_split(self, root: Path) -> dict[str, str]:
        """Returns the official split of each patient.

        Raises:
            InputError: there is none, or it divides a patient.
        """
        official = tables.split_of(root)
        without = next((case for case in self.case_ids(root) if case not in official), None)
        if without:
            raise InputError(f"patient {without} is in no split", where=root, fix="leave out split.official")
        return official

    def _is_read(self, image: Image) -> bool:
        return self.views == "all" or image.view in FRONTAL

    def _images_of(self, root: Path, case: str) -> tuple[Image, ...]:
        by_case = tables.images(root)
        if case not in by_case:
            raise InputError(f"no image of {case!r}{delimited.nearest(case, sorted(by_case))}", where=root)
        return by_case[case]

    def _text(self, root: Path, image: Image) -> tuple[str, str]:
        """Returns a study's text and '', or '' and the reason why it has none."""
        found = tables.report(root, image)
        if found is None:
            return "", "no_report"
        parts = [found.get(name, "") for name in self.sections.split("_")]
        if not any(part.strip() for part in parts):
            return "", "no_sections"
        text = cleaning.CLEANING[self.cleaning](" ".join(part for part in parts if part))
        return (text, "") if cleaning.words(text) >= cleaning.SHORTEST else ("", "report_too_short")


def _by_study(images: tuple[Image, ...]) -> dict[str, list[Image]]:
    found: dict[str, list[Image]] = {}
    for image in images:
        found.setdefault(image.study, []).append(image)
    return found


def _segment(images: list[Image], turn: Turn) -> Segment:
    first, *others = images
    return Segment(
        label=first.view or "none",
        published="",  # a view is no part of a clip's name
        media=first.media,
        beside=tuple(image.media for image in others),
        start_s=0.0,
        end_s=None,
        row=first.row,
        whole=True,
        turns=(turn,),
    )


def _left_out(case: str, image: Image, reason: str, detail: str) -> Rejection:
    where = f"metadata row {image.row}"
    return Rejection(stage=STAGE, reason=reason, case=case, where=where, detail=f"{where}: {detail}")
