"""Which samples the page shows: wrong ones first, then right, spread over the cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from suture.records import Prediction
from suture.reporting.media import Pictures, Strip

WRONG = 6
RIGHT = 3
MANY_EXPERIMENTS = 8

Found = tuple[int, tuple[Prediction, ...]]
"""How many turns are wrong, and the turns."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A sample in the page: its turns in order and a strip of its frames, where there are some."""

    id: str
    case: str
    phase: str
    turns: tuple[Prediction, ...]
    strip: Strip | None


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """An experiment's shown samples, and of how many they were chosen."""

    experiment: str
    wrong: tuple[Shown, ...]
    right: tuple[Shown, ...]
    n_wrong: int
    n_right: int


def gallery(experiment: str, predictions: Sequence[Prediction], pictures: Pictures, *, many: bool) -> Gallery:
    """Chooses the samples of an experiment; fewer of each where there are ``many`` experiments."""
    turns: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        turns[prediction.id].append(prediction)
    wrong: list[Found] = []
    right: list[Found] = []
    for sample in sorted(turns):
        answered = tuple(sorted(turns[sample], key=lambda turn: turn.turn))
        bad = sum(turn.prediction != turn.answer for turn in answered)
        (wrong if bad else right).append((bad, answered))
    wrong.sort(key=lambda item: (-item[0], item[1][0].id))
    share = 3 if many else 1
    return Gallery(
        experiment=experiment,
        wrong=_show(wrong, WRONG // share, pictures),
        right=_show(right, RIGHT // share, pictures),
        n_wrong=len(wrong),
        n_right=len(right),
    )


def _show(found: list[Found], limit: int, pictures: Pictures) -> tuple[Shown, ...]:
    # One of each case, then a second of each: a page of one bad case would not show what goes wrong elsewhere.
    rank: dict[str, int] = defaultdict(int)
    ranked = []
    for place, (_, turns) in enumerate(found):
        ranked.append((rank[turns[0].case], place))
        rank[turns[0].case] += 1
    chosen = [found[place][1] for _, place in sorted(ranked)[:limit]]
    return tuple(
        Shown(id=t[0].id, case=t[0].case, phase=t[0].phase, turns=t, strip=pictures.strip(t[0].clip)) for t in chosen
    )
