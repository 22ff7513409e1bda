"""The published training scripts' inputs: question–answer pairs in their layout, and a folder with their clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from suture import files, records
from suture.decoding import Wanted, decode_each
from suture.errors import InputError
from suture.frames import Decoded, Refused, write_shard
from suture.free_media import FrameSettings
from suture.progress import progress
from suture.qa import published
from suture.records import Clip, Rejection
from suture.video.index import read_index
from suture.video.reading import MediaError

MAX_REJECTED = 0.1
SECONDS_PER_CLIP = 120.0


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Samples and the manifest of their cached frames, as the workflow's own stages write them."""

    samples: Path
    frames: Path


def prepare(pairs: Path, videos: Path, folder: Path, settings: FrameSettings, *, workers: int = 2) -> Prepared:
    """Reads published pairs and decodes their clips once; what is there already from the same files is kept.

    A pair file made with the published ``--balance`` repeats its entries:
    repetitions are left out and counted, as the balance is the split's affair here.

    Args:
        pairs: ``train_qa_pairs.json`` or ``val_qa_pairs.json``.
        videos: folder with the videos that it names.
        folder: gets samples, frames and manifests.
        settings: which frames, and their size.
        workers: processes that decode.

    Raises:
        InputError: another layout, or more than a tenth of the clips are missing or cannot be used.
    """
    made = Prepared(samples=folder / "samples.jsonl", frames=folder / "frames.jsonl")
    origin = {"pairs": files.sha256_file(pairs), "settings": repr(settings)}
    mark = folder / "prepared.json"
    if mark.is_file() and files.read_json(mark) == origin:
        return made
    entries = published.read(pairs)
    names = sorted({entry.video for entry in entries})
    clips, rejections = _clips(names, videos)
    samples, left_out = published.to_samples(entries, clips)
    cached = write_shard(
        clips,
        decode=partial(_decode, videos=videos, settings=settings, workers=workers),
        size=(settings.height, settings.width),
        manifest=made.frames,
        array=folder / "frames.npy",
        max_rejected=MAX_REJECTED,
    )
    unusable = len(rejections) + len(cached)
    if unusable > MAX_REJECTED * len(names):
        first = [*rejections, *cached][0]
        raise InputError(
            f"{unusable} of {len(names)} clips cannot be used: {first.detail}",
            where=first.where,
            fix="give the folder of the clips that the file names",
        )
    records.write(made.samples, samples)
    counts = Counter(one.reason for one in [*rejections, *left_out, *cached] if one.reason != "clip_missing")
    counts["clip_missing"] = sum(one.reason == "clip_missing" for one in rejections)
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()) if count)
    print(f"{pairs.name}: {len(samples)} samples" + (f"; left out: {told}" if told else ""), flush=True)
    files.write_json(mark, origin)
    return made


def _clips(names: Sequence[str], videos: Path) -> tuple[list[Clip], list[Rejection]]:
    """Looks at each named video; a suffix other than .mp4 is taken too."""
    there = {path.stem: path for path in sorted(videos.glob("*")) if path.is_file()}
    if not there:
        raise InputError("no files in the folder of the videos", where=videos)
    clips, rejections = [], []
    for name in progress(names, what="look at clips", unit="clip"):
        if name not in there:
            rejections.append(_rejection(name, "clip_missing", f"no such video in {videos}"))
            continue
        path = there[name]
        try:
            index = read_index(path)
        except MediaError as error:
            rejections.append(_rejection(name, error.reason, error.problem))
            continue
        sha256 = files.sha256_file(path)
        clips.append(
            Clip(
                id=name,
                case=name,
                phase="",
                start_s=0.0,
                end_s=index.duration_s,
                path=path.name,
                first_frame=0,
                n_frames=len(index.display),
                fps=float(index.rate),
                width=index.width,
                height=index.height,
                method="copy",
                sha256=sha256,
                source=path.name,
                source_sha256=sha256,
            )
        )
    return clips, rejections


def _rejection(name: str, reason: str, detail: str) -> Rejection:
    return Rejection(stage="train", reason=reason, case=name, where=name, detail=detail)


def _decode(
    clips: Sequence[Clip], *, videos: Path, settings: FrameSettings, workers: int
) -> Iterator[Decoded | Refused]:
    wanted = [
        Wanted(
            path=videos / clip.path,
            sha256=clip.sha256,
            indices=tuple(settings.indices(clip.n_frames, clip.fps)),
            size=(settings.height, settings.width),
        )
        for clip in clips
    ]
    return decode_each(wanted, decoder="auto", workers=workers, seconds=SECONDS_PER_CLIP)
