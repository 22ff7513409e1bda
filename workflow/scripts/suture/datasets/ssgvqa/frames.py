"""The frames of surgeries with their questions become cases: a video is one, each of its frames an image with turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from suture import delimited, files
from suture.datasets.ssgvqa import layout, lines
from suture.datasets.ssgvqa.lines import MULTI_LABEL
from suture.datasets.ssgvqa.vocabulary import SPLIT
from suture.errors import InputError
from suture.records import Case, Rejection, Segment, Turn

STAGE = "annotations"
LABEL = "Unlabelled"


class Frames:
    """An adapter (see :class:`suture.datasets.base.Adapter`) of one of the two test variants.

    Args:
        clean: the questions of the test videos are those of ``VID02_clean`` and its like.
    """

    def __init__(self, *, clean: bool) -> None:
        self.clean = clean
        self.variant = "clean" if clean else "full"

    def case_ids(self, root: Path) -> list[str]:
        """Lists the official videos that have questions here, sorted.

        Raises:
            InputError: no folder of a video.
        """
        found = sorted(layout.folders(root, clean=self.clean))
        there = layout.questions(root)
        if not found:
            raise InputError("no video of SSG-VQA's 45", where=there, fix="its folders are named VID01, VID02, ...")
        return found

    def case_files(self, root: Path, case: str) -> list[Path]:
        """Returns a video's folder of texts; :meth:`case_digest` says what is in them."""
        return [self._folder(root, case)]

    def case_media(self, root: Path, videos: Path, case: str) -> list[Path]:
        """Lists the images of the frames that are asked about, those that exist."""
        there = layout.images(videos, case)
        asked, _ = layout.texts(self._folder(root, case))
        return [there[frame] for frame in asked if frame in there]

    def read_case(self, root: Path, case: str) -> Case:
        """Reads a video: each frame is an image with its questions, in their order in the file.

        The kind of a question is all groups that it is counted in, ``query_attribute/query_color/one_hop``; of a
        test video also ``test_full`` or ``test_clean``.
        Rejections name file and line: malformed_line, unknown_label, odd_file, unreadable_file.
        """
        folder = self._folder(root, case)
        texts, odd = layout.texts(folder)
        rejected = [
            _rejection(case, f"{folder.name}/{path.name}", "odd_file", "its name is no frame number") for path in odd
        ]
        segments = []
        for frame, path in texts.items():
            where = f"{folder.name}/{path.name}"
            turns, faults = _questions(path, where, case)
            rejected += faults
            if case in SPLIT["test"]:
                turns = tuple(self._named(turn) for turn in turns)
            if turns:
                segments.append(
                    Segment(
                        label=LABEL,
                        published="",
                        media=layout.image(case, frame),
                        start_s=0.0,
                        end_s=None,
                        row=1,
                        annotation=where,
                        whole=True,
                        turns=turns,
                    )
                )
        return Case(id=case, segments=tuple(segments), rejected=tuple(rejected))

    def case_digest(self, root: Path, case: str) -> str:
        """Returns a digest of a video's texts: an edit of one of them concerns this case."""
        texts, odd = layout.texts(self._folder(root, case))
        return files.sha256_text("\n".join(f"{p.name} {files.sha256_file(p)}" for p in [*texts.values(), *odd]))

    def read_split(self, root: Path) -> dict[str, str]:
        """Returns the official split of the videos that are here: 35 train, 5 val, 5 test."""
        there = layout.folders(root, clean=self.clean)
        return {video: split for split, videos in SPLIT.items() for video in videos if video in there}

    def general(self, root: Path, videos: Path | None) -> list[Rejection]:
        """Reports the folders of videos that are not read: the other test variant, and videos of no official split."""
        used = layout.folders(root, clean=self.clean)
        return [
            _rejection(name, name, "not_of_this_variant", "a folder of questions that this variant does not use")
            for name in layout.others(root, used)
        ]

    def _named(self, turn: Turn) -> Turn:
        # The two variants have other questions, and scores of one are no scores of the other: the number says which.
        return turn if turn.kind == MULTI_LABEL else replace(turn, kind=f"{turn.kind}/test_{self.variant}")

    def _folder(self, root: Path, case: str) -> Path:
        found = layout.folders(root, clean=self.clean)
        if case not in found:
            raise InputError(f"no folder of {case!r}{delimited.nearest(case, sorted(found))}", where=root)
        return found[case]


def _questions(path: Path, where: str, case: str) -> tuple[tuple[Turn, ...], list[Rejection]]:
    try:
        text = files.read_text(path)
    except InputError as error:
        return (), [_rejection(case, where, "unreadable_file", error.problem)]
    turns, rejected = [], []
    for found in lines.read(text):
        if isinstance(found, Turn):
            turns.append(found)
        else:
            rejected.append(_rejection(case, f"{where}:{found.line}", found.reason, found.detail))
    return tuple(turns), rejected


def _rejection(case: str, where: str, reason: str, detail: str) -> Rejection:
    return Rejection(stage=STAGE, reason=reason, case=case, where=where, detail=f"{where}: {detail}")
