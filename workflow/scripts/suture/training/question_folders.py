"""Samples and frames of a dataset's own folders, for training without the workflow: published roots, one command.

The publisher's split decides what is trained and what validates; its test
cases are not even read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from suture import files, ingesting, records, registry, windows
from suture.datasets.base import Adapter, left_out_kinds, never_trained, read_split
from suture.decoding import Wanted, decode_each
from suture.errors import InputError
from suture.frames import Decoded, Refused, write_shard
from suture.progress import progress
from suture.records import Clip, Rejection, Sample
from suture.sources import find_media
from suture.video.image import IMAGE_SUFFIXES
from suture.video.reading import MediaError

MAX_REJECTED = 0.1
SECONDS_PER_IMAGE = 120


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Where samples and frames of one split lie."""

    samples: Path
    frames: Path


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What a split's folders say: a sample for each question, an image for each clip, and what is left out."""

    samples: list[Sample]
    images: dict[str, Path]
    rejected: list[Rejection]

    def check(self, most: float = MAX_REJECTED) -> None:
        """Refuses too many unusable lines and images.

        Raises:
            InputError: naming the first of them by file and line.
        """
        faults = [one for one in self.rejected if one.reason != "left_out_kind"]
        if not self.samples or len(faults) > most * (len(faults) + len(self.samples)):
            raise InputError(
                f"{len(faults)} lines or images cannot be used beside {len(self.samples)} questions",
                where="; ".join(one.detail for one in faults[:3]),
                fix="repair them, or give the folders as their publisher made them",
            )

    @property
    def words(self) -> str:
        """One line for a user."""
        counts = Counter(one.reason for one in self.rejected)
        told = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
        return f"{len(self.samples)} questions about {len(self.images)} images; left out: {told or 'nothing'}"


def questions(
    adapter: Adapter, root: Path, images: Path, split: str, *, with_images: bool = True, at_most: int = 0
) -> Questions:
    """Reads the questions of a split, each a sample of its own, and finds its images, unless they are of no use.

    With ``at_most``, reading ends after the case that has that many.

    Raises:
        InputError: the dataset has no published split, or it is to train on cases kept for testing.
    """
    chosen = [case for case, its in sorted(read_split(adapter, root).items()) if its == split]
    if split != "test" and (kept := sorted(set(chosen) & never_trained(adapter))):
        raise InputError(f"{', '.join(kept)} are never trained on", where=root)
    samples: list[Sample] = []
    found: dict[str, Path] = {}
    rejected: list[Rejection] = []
    for case in progress(chosen, what=f"reading {split}", unit="case"):
        if at_most and len(samples) >= at_most:
            break
        read = ingesting.without_kinds(adapter.read_case(root, case), left_out_kinds(adapter))
        planned, _ = windows.plan_case(read, mode="exact")
        if any(clip.frames for clip in planned):
            raise InputError("runs of frames: this way is for datasets of images", where=root, fix="run the workflow")
        media = find_media(adapter, root, images, case, (clip.media for clip in planned)) if with_images else {}
        missing = {}
        for clip in planned if with_images else ():
            path = media[clip.media]
            if isinstance(path, MediaError):
                missing[clip.id] = path
            elif path.suffix.lower() not in IMAGE_SUFFIXES:
                raise InputError("no image: this way is for datasets of images", where=path, fix="run the workflow")
            else:
                found[clip.id] = path
        made, left_out = ingesting.samples(read, partial(_there, missing))
        samples += ingesting.apart(made)
        rejected += left_out
    return Questions(samples=sorted(samples, key=lambda one: one.id), images=found, rejected=rejected)


def _there(missing: dict[str, MediaError], _: object, __: object, clip: str) -> tuple[str, str] | None:
    return (missing[clip].reason, missing[clip].problem) if clip in missing else None


def prepare(
    dataset: str, root: Path, images: Path, split: str, folder: Path, *, size: tuple[int, int], workers: int = 1
) -> Prepared:
    """Writes samples and cached frames of a split; a second call with the same inputs finds them there.

    Args:
        dataset: name of the adapter.
        root: of its question files.
        images: of its frames.
        split: ``train`` or ``val``.
        folder: gets samples, frames and manifests.
        size: height and width of the frames, in pixels.
        workers: processes that decode.

    Raises:
        InputError: as :func:`questions`, or more than a tenth of lines or images cannot be used.
    """
    made = Prepared(samples=folder / "samples.jsonl", frames=folder / "frames.jsonl")
    read = questions(registry.dataset(dataset), root, images, split)
    read.check()
    asked = {sample.clip: sample.case for sample in read.samples}
    stamps = [f"{clip} {read.images[clip].stat().st_size}" for clip in sorted(asked)]
    origin = {
        "samples": files.sha256_text(repr(read.samples)),
        "images": files.sha256_text("\n".join(stamps)),
        "size": list(size),
    }
    mark = folder / "prepared.json"
    if mark.is_file() and files.read_json(mark) == origin:
        return made
    clips = [_clip(clip, case, read.images[clip], images) for clip, case in sorted(asked.items())]
    cached = write_shard(
        clips,
        decode=partial(_decode, images=images, size=size, workers=workers),
        size=size,
        manifest=made.frames,
        array=folder / "frames.npy",
        max_rejected=MAX_REJECTED,
    )
    gone = {one.where for one in cached}
    lost = {clip.id for clip in clips if clip.path in gone}
    records.write(made.samples, [sample for sample in read.samples if sample.clip not in lost])
    print(f"{split}: {read.words}" + (f"; {len(lost)} images unreadable" if lost else ""), flush=True)
    files.write_json(mark, origin)
    return made


def _clip(name: str, case: str, path: Path, images: Path) -> Clip:
    sha256 = files.sha256_file(path)
    inner = os.path.relpath(path, images)
    return Clip(
        id=name, case=case, phase="", start_s=0.0, end_s=0.0, path=inner, first_frame=0, n_frames=1, fps=0.0,
        width=0, height=0, method="image", sha256=sha256, source=inner, source_sha256=sha256,
    )  # fmt: skip


def _decode(clips: Sequence[Clip], *, images: Path, size: tuple[int, int], workers: int) -> Iterator[Decoded | Refused]:
    wanted = [Wanted(path=images / clip.path, sha256=clip.sha256, indices=(0,), size=size) for clip in clips]
    return decode_each(wanted, decoder="auto", workers=workers, seconds=SECONDS_PER_IMAGE)
