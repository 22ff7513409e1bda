"""The dataset folder in the publisher's final structure, out of a run's clips, samples and split.

    annotations/phase_annotations, annotations/segment_annotations      links
    videos/train, videos/val, videos/test, videos/unlabelled            one file or link a clip
    case_objects.json, qa_pairs_without_idle.json
    train_qa_pairs.json, val_qa_pairs.json, test_qa_pairs.json
    videos.jsonl                                                        which clip lies where, with its sha256

Nothing is moved. Links are relative, so the run's folder can be.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import exports, files, records
from suture.errors import InputError
from suture.progress import progress
from suture.qa import published
from suture.records import Clip, Sample
from suture.splitting import SPLITS

UNLABELLED = "unlabelled"
ANNOTATIONS = ("phase_annotations", "segment_annotations")


@dataclass(frozen=True)
class Place:
    """Where a clip goes: ``source`` is its file, ``split`` the folder under videos/."""

    clip: Clip
    source: Path
    split: str

    @property
    def path(self) -> str:
        """The clip's path relative to the dataset folder."""
        return f"videos/{self.split}/{self.clip.id}{self.source.suffix}"


def read_splits(folder: Path) -> dict[str, list[Sample]]:
    """Reads train.jsonl, val.jsonl and test.jsonl.

    Raises:
        InputError: a file is missing or is no samples manifest.
    """
    return {name: records.read(folder / f"{name}.jsonl", Sample) for name in SPLITS}


def places(splits: Mapping[str, Sequence[Sample]], clips: Sequence[Clip], clips_dir: Path) -> list[Place]:
    """Returns the place of each clip, sorted by clip id; those without questions are unlabelled.

    Raises:
        InputError: a sample without a clip, a clip in two splits, or clips whose
            file is missing (the first is named, with its case).
    """
    split_of: dict[str, str] = {}
    known = {clip.id for clip in clips}
    for split, samples in splits.items():
        for sample in samples:
            if sample.clip not in known:
                raise InputError(f"sample {sample.id} is about clip {sample.clip}, which the clips manifest lacks")
            if split_of.setdefault(sample.clip, split) != split:
                raise InputError(
                    f"clip {sample.clip} is in {split_of[sample.clip]} and in {split}",
                    fix="make the split with split_dataset.py",
                )
    found = [
        Place(clip, files.inside(clips_dir, clip.path), split_of.get(clip.id, UNLABELLED))
        for clip in sorted(clips, key=lambda one: one.id)
    ]
    missing = [place for place in found if not place.source.is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} clip files are missing; the first is {missing[0].clip.id} of {missing[0].clip.case}",
            where=missing[0].source,
            fix=f"cut {missing[0].clip.case} again: delete its clips manifest and run, or run cut_videos.py on it",
        )
    return found


def lay_out_videos(
    found: Sequence[Place], target: Path, final: Path, *, export: str, exports_dir: Path, workers: int
) -> list[dict[str, Any]]:
    """Fills ``target``/videos and returns the rows of videos.jsonl, sorted by clip.

    Args:
        found: the clips and their splits.
        target: the folder being built.
        final: what it will be named, beside it: links are relative to that.
        export: ``link`` links to each clip; ``copy`` puts a copy (a hard link
            where the file system can); ``exact`` re-encodes the clips whose file
            holds other frames than the wanted ones, and links to the others.
        exports_dir: keeps re-encoded clips from run to run.
        workers: clips re-encoded at once.

    Raises:
        InputError: a clip's file is not the one its manifest describes.
    """
    for split in (*SPLITS, UNLABELLED):
        (target / "videos" / split).mkdir(parents=True)

    def lay_out(place: Place) -> dict[str, Any]:
        source, made = place.source, export
        digest = files.sha256_file(source)
        if digest != place.clip.sha256:
            raise InputError(
                f"clip {place.clip.id} of {place.clip.case} is not the file that its manifest describes",
                where=source,
                fix=f"cut {place.clip.case} again: delete its clips manifest and run",
            )
        if export == "exact":
            made = "exact" if exports.is_needed(place.clip, source) else "link"
        if made == "exact":
            source = exports.make(place.clip, source, exports_dir)
            digest = files.sha256_file(source)
        if made == "link":
            link(source, target / place.path, final / place.path)
        else:
            _copy(source, target / place.path)
        row = {"clip": place.clip.id, "case": place.clip.case, "split": place.split}
        return {**row, "path": place.path, "sha256": digest, "made": made}

    with ThreadPoolExecutor(workers) as pool:
        try:
            return list(progress(pool.map(lay_out, found), what="clips", total=len(found), unit="clip"))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def remove_old_exports(found: Sequence[Place], rows: Sequence[Mapping[str, Any]], exports_dir: Path) -> int:
    """Removes the exports that no row of videos.jsonl stands for any more; returns their number."""
    kept = {
        exports.path_of(place.clip, exports_dir).name
        for place, row in zip(found, rows, strict=True)
        if row["made"] == "exact"
    }
    return exports.remove_all_but(kept, exports_dir)


def link(source: Path, here: Path, final: Path) -> None:
    """Makes a relative symbolic link to ``source`` at ``here``, right once ``here`` is named ``final``."""
    here.parent.mkdir(parents=True, exist_ok=True)
    # '..' leads out of the real folder, not of the link one came by.
    here.symlink_to(os.path.relpath(os.path.realpath(source), os.path.realpath(final.parent)))


def _copy(source: Path, target: Path) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def link_annotations(root: Path, target: Path, final: Path) -> None:
    """Links the publisher's annotation folders; another layout, or a single file, is linked by its own name.

    Raises:
        InputError: there is neither a folder nor a file.
    """
    if root.is_file():
        link(root, target / "annotations" / root.name, final / "annotations" / root.name)
        return
    if not root.is_dir():
        raise InputError("no such folder or file of annotations", where=root)
    found = {
        name: folder / name
        for name in ANNOTATIONS
        for folder in (root / "annotations", root)
        if (folder / name).is_dir()
    }
    for name, folder in (found or {Path(os.path.realpath(root)).name: root}).items():
        link(folder, target / "annotations" / name, final / "annotations" / name)


def write_questions(splits: Mapping[str, Sequence[Sample]], found: Iterable[Place], target: Path) -> None:
    """Writes train_, val_ and test_qa_pairs.json in the published layout."""
    names = {place.clip.id: Path(place.path).name for place in found}
    for split, samples in splits.items():
        published.write(target / f"{split}_qa_pairs.json", samples, names)
