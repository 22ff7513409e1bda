"""Questions about a drawn scene, worded and typed as SSG-VQA's, one file a frame.

Each group of questions has a seeded choice among all that the scene allows,
its answers as even as a scene lets them be: no answer is told by its question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from suture.drawing.chance import generator
from suture.drawing.cholecystectomy import ACTIONS, COMPONENTS, PALETTE, PLACES, Thing, centre, draw, scene
from suture.progress import progress

Relation = Callable[[Thing, Thing], bool]
RELATIONS: dict[str, Relation] = {
    "above": lambda one, other: one.row < other.row,
    "below": lambda one, other: one.row > other.row,
    "left of": lambda one, other: one.column < other.column,
    "right of": lambda one, other: one.column > other.column,
}
EACH = 2
"""Questions of each group that are asked about a frame."""


def write(questions: Path, frames: Path, videos: Sequence[str], *, images: int, seed: int, size: int) -> None:
    """Writes ``<video>/<frame>.txt`` and ``<video>/<frame of six digits>.png``.

    Args:
        questions: folder of the texts, new, for it appears when it is whole.
        frames: folder of the images, likewise.
        videos: names of the videos.
        images: of each video.
        seed: of scenes and questions.
        size: width and height, in pixels.
    """
    for video in progress(videos, what="drawing", unit="video"):
        (frames / video).mkdir()
        (questions / video).mkdir()
        for frame in range(1, images + 1):
            Image.fromarray(draw(video, frame, seed, size)).save(frames / video / f"{frame:06d}.png")
            text = "\n".join(lines(video, frame, seed)) + "\n"
            (questions / video / f"{frame}.txt").write_text(text, encoding="utf-8")


def lines(video: str, frame: int, seed: int) -> list[str]:
    """Returns the lines of a frame's file, the two of several answers first."""
    things = scene(video, frame, seed)
    chance = generator(f"{video}_{frame:06d}", seed, "questions")
    organs, tools = (", ".join(t.component for t in things if t.type == kind) for kind in COMPONENTS)
    made = [
        f"Which anatomical structures are present?|{organs or 'nothing'}",
        f"Which tools are present?|{tools or 'nothing'}",
    ]
    for group in (_general, _counts, _existence, _colours, _names, _related, _both):
        made += _some(list(dict.fromkeys(group(things))), chance)
    return made


def _some(found: list[str], chance: np.random.Generator) -> list[str]:
    """Chooses among questions, answer by answer: a frequent answer is not asked for more often."""
    by_answer: dict[str, list[str]] = {}
    for line in found:
        by_answer.setdefault(line.split("|")[1], []).append(line)
    rows = [[members[i] for i in chance.permutation(len(members))] for _, members in sorted(by_answer.items())]
    rows = [rows[i] for i in chance.permutation(len(rows))]
    return [row[0] for row in rows][:EACH]


def _general(things: Sequence[Thing]) -> Iterable[str]:
    for thing in things:
        if thing.type == "anatomy":
            yield f"What anatomy is at the {PLACES[thing.place]} of the frame ?|{thing.component}|{centre(thing)}"
        else:
            others = [one for one in things if one.type == "anatomy" and one.row == thing.row]
            if len(others) == 1:
                yield f"What is the action being performed on {others[0].component}?|{ACTIONS[thing.component]}"


def _counts(things: Sequence[Thing]) -> Iterable[str]:
    for kind, colours in PALETTE.items():
        yield f"How many {kind}s are there?|{_n(things, type=kind)}|zero_hop.json|count|NA"
        for colour in colours:
            yield f"How many {colour} {kind}s are there?|{_n(things, type=kind, colour=colour)}|zero_hop.json|count|NA"


def _existence(things: Sequence[Thing]) -> Iterable[str]:
    for kind, members in COMPONENTS.items():
        for component in members:
            seen = bool(_n(things, component=component))
            yield f"Are there any {component} {kind}s?|{seen}|zero_hop.json|exist|NA"
        for place, name in enumerate(PLACES):
            yield f"Are there any {name} {kind}s?|{bool(_n(things, type=kind, place=place))}|zero_hop.json|exist|NA"


def _colours(things: Sequence[Thing]) -> Iterable[str]:
    for thing in things:
        yield f"What color is the {thing.component} {thing.type}?|{thing.colour}|zero_hop.json|query_color|NA"


def _names(things: Sequence[Thing]) -> Iterable[str]:
    for thing in things:
        place = PLACES[thing.place]
        yield f"There is a {place} object; what is it?|{thing.component}|zero_hop.json|query_component|NA"
        yield f"What type is the {place} thing?|{thing.type}|zero_hop.json|query_type|NA"


def _related(things: Sequence[Thing]) -> Iterable[str]:
    for other in things:
        for word, relation in RELATIONS.items():
            found = [one for one in things if relation(one, other)]
            tail = "one_hop.json|{}|relate_spatial"
            known = f"the {other.component} {other.type}"
            yield f"What number of objects are {word} {known}?|{len(found)}|{tail.format('count')}"
            yield f"Are there any things {word} {known}?|{bool(found)}|{tail.format('exist')}"
            if len(found) == 1:
                yield f"The object {word} {known} is what color?|{found[0].colour}|{tail.format('query_color')}"
                yield f"There is an object {word} {known}; what is it?|{found[0].component}|" + tail.format(
                    "query_component"
                )


def _both(things: Sequence[Thing]) -> Iterable[str]:
    for first in things:
        for second in things:
            found = [t for t in things if RELATIONS["above"](t, first) and RELATIONS["right of"](t, second)]
            if first != second and len(found) == 1:
                where = f"above the {first.component} {first.type} and right of the {second.component} {second.type}"
                yield f"What color is the thing that is both {where}?|{found[0].colour}|single_and.json|query_color|NA"
                yield f"What number of objects are {where}?|{len(found)}|single_and.json|count|NA"


def _n(things: Sequence[Thing], **wanted: object) -> int:
    return sum(all(getattr(thing, name) == value for name, value in wanted.items()) for thing in things)
