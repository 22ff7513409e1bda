"""The published question files: qa_pairs_without_idle.json, train_ and val_qa_pairs.json.

A list of entries, each a list: ``{"video_filename": "X.mp4"}``, then pairs
``{"question1": .., "answer1": ..}``. The number of a pair gives its kind: 1 phase,
2 anatomy, 3 instruments, 4 spatial. A pair of another kind carries ``"kind"``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import files
from suture.errors import InputError
from suture.qa.base import KINDS
from suture.records import Clip, Rejection, Sample, Turn, shard_of
from suture.windows import without_suffix

_PAIR_KEY = re.compile(r"(question|answer)(\d+)")


@dataclass(frozen=True)
class Entry:
    """One entry of a published file: ``number`` is its 1-based place, ``video`` its name without a suffix."""

    number: int
    video: str
    turns: tuple[Turn, ...]


def to_entries(samples: Iterable[Sample], names: Mapping[str, str] | None = None) -> list[list[dict[str, str]]]:
    """Returns samples in the published layout, in the order given.

    Args:
        samples: the samples.
        names: file name by clip id, where it is not ``<clip id>.mp4``.
    """
    names = names or {}
    return [
        [{"video_filename": names.get(sample.clip, f"{sample.clip}.mp4")}, *_pairs(sample.turns)] for sample in samples
    ]


def _pairs(turns: Sequence[Turn]) -> list[dict[str, str]]:
    kinds = [turn.kind for turn in turns]
    known = set(kinds) <= set(KINDS) and len(set(kinds)) == len(kinds)
    pairs = []
    for place, turn in enumerate(turns, start=1):
        number = KINDS.index(turn.kind) + 1 if known else place
        pair = {f"question{number}": turn.question, f"answer{number}": turn.answer}
        pairs.append(pair if known else {**pair, "kind": turn.kind})
    return pairs


def write(path: Path, samples: Iterable[Sample], names: Mapping[str, str] | None = None) -> None:
    """Writes a published question file; keys keep the published order."""
    files.write_json(path, to_entries(samples, names), sort_keys=False)


def read(path: Path) -> list[Entry]:
    """Reads a published question file.

    Raises:
        InputError: another layout; file, entry number and what is wrong are named.
    """
    table = files.read_json(path)
    if not isinstance(table, list):
        raise _malformed("the file is not a list of entries", path)
    return [_entry(number, row, f"{path}, entry {number}") for number, row in enumerate(table, start=1)]


def _malformed(problem: str, where: object) -> InputError:
    return InputError(
        problem, where=where, fix='[{"video_filename": "X.mp4"}, {"question1": "..", "answer1": ".."}, ...]'
    )


def _entry(number: int, row: Any, where: str) -> Entry:
    if not isinstance(row, list) or not all(isinstance(part, dict) for part in row) or len(row) < 2:
        raise _malformed("not a list of a video name and at least one pair", where)
    video = row[0].get("video_filename")
    if not isinstance(video, str) or not video.strip():
        raise _malformed("no video_filename in its first part", where)
    turns = tuple(_turn(pair, where) for pair in row[1:])
    return Entry(number, without_suffix(video.strip()), turns)


def _turn(pair: dict[str, Any], where: str) -> Turn:
    parts = {match[1]: match for key in pair if (match := _PAIR_KEY.fullmatch(key))}
    if set(parts) != {"question", "answer"} or len(set(pair) - {"kind"}) != 2:
        raise _malformed(f"not a question and its answer: keys {', '.join(sorted(map(repr, pair)))}", where)
    if parts["question"][2] != parts["answer"][2]:
        raise _malformed(f"{parts['question'][0]} stands with {parts['answer'][0]}", where)
    number = int(parts["question"][2])
    if "kind" not in pair and not 1 <= number <= len(KINDS):
        raise _malformed(f"question{number} has no kind: the layout has {len(KINDS)}, others carry a 'kind'", where)
    kind = pair.get("kind", KINDS[number - 1] if number <= len(KINDS) else "")
    texts = {name: pair[match[0]] for name, match in parts.items()}
    for name, text in {**texts, "kind": kind}.items():
        if not isinstance(text, str) or not text.strip():
            raise _malformed(f"{name} {number} is {text!r}, not a text", where)
    return Turn(question=texts["question"], answer=texts["answer"], kind=kind)


def to_samples(
    entries: Sequence[Entry], clips: Sequence[Clip], *, shard: int = 0, shards: int = 1
) -> tuple[list[Sample], list[Rejection]]:
    """Turns entries into samples of the clips they name, sorted by id.

    A second entry with other texts about the same clip becomes the sample
    ``<clip>~2``. Their ``origin`` is llm: the published files were written by a
    language model, and no file says who wrote it.

    Args:
        entries: the entries of one file.
        clips: the clips of all cases, whatever the shard: an entry whose clip is
            not among them is missing for good.
        shard: take the entries of this shard's cases; an entry of no known case is
            counted once, with the first case, since not every shard need exist.
        shards: their number.

    Returns:
        The samples, and the rejections by reason: ``clip_missing``, the clip is not
        in the manifest; ``repeated_entry``, equal to an earlier one, as in a
        balanced file (balancing is a step of the split here).
    """
    clip_of = {clip.id: clip for clip in clips}
    cases = sorted({clip.case for clip in clips})
    texts: dict[str, list[tuple[Turn, ...]]] = {}
    samples: list[Sample] = []
    rejected: list[Rejection] = []
    for entry in entries:
        clip = clip_of.get(entry.video)
        case = clip.case if clip else next((one for one in cases if entry.video.startswith(f"{one}_")), "")
        if shards > 1 and shard_of(case or min(cases, default=""), shards) != shard:
            continue
        if clip is None:
            rejected.append(_rejection("clip_missing", case, entry, "no such clip in the clips manifest"))
        elif entry.turns in texts.setdefault(clip.id, []):
            rejected.append(_rejection("repeated_entry", case, entry, "equal to an earlier entry"))
        else:
            texts[clip.id].append(entry.turns)
            samples.append(_sample(clip, entry.turns, len(texts[clip.id])))
    return sorted(samples, key=lambda one: one.id), rejected


def _sample(clip: Clip, turns: tuple[Turn, ...], number: int) -> Sample:
    name = clip.id if number == 1 else f"{clip.id}~{number}"
    return Sample(id=name, case=clip.case, clip=clip.id, phase=clip.phase, turns=turns, origin="llm")


def _rejection(reason: str, case: str, entry: Entry, detail: str) -> Rejection:
    where = f"entry {entry.number}: {entry.video}"
    return Rejection(stage="generate_qa", reason=reason, case=case, where=where, detail=detail)
