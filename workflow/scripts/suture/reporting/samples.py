"""Which samples the page shows: wrong before right, the worst cases first, one from each before a second."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from suture.records import Prediction
from suture.reporting.media import Pictures, Strip
from suture.tasks.open_vqa import normalise

WRONG = 6
RIGHT = 3
MANY_EXPERIMENTS = 8

Answered = tuple[Prediction, ...]
"""The turns of one sample, in order."""


@dataclass(frozen=True, kw_only=True)
class ShownTurn:
    """One question, what was to be said, and what was. ``alike``: share of words in common, as F1."""

    question: str
    answer: str
    prediction: str
    right: bool
    alike: float


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A sample in the page: its turns in order and, where there is one, a strip of its clip's frames."""

    id: str
    case: str
    clip: str
    phase: str
    turns: tuple[ShownTurn, ...]
    strip: Strip | None = None


@dataclass(frozen=True, kw_only=True)
class CaseScore:
    """How many answers of a case are right; for whole texts, how many of their words."""

    case: str
    n: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """An experiment's shown samples, of how many they were chosen, and all its cases, the worst first.

    ``judged``: answers are right or wrong. Reports are neither: they share more
    or fewer words with the gold text, and ``wrong`` holds those that share least.
    """

    experiment: str
    judged: bool
    wrong: tuple[Shown, ...]
    right: tuple[Shown, ...]
    n_wrong: int
    n_right: int
    cases: tuple[CaseScore, ...]


def is_right(turn: Prediction) -> bool:
    """Whether an answer equals the gold answer but for case and white space."""
    return turn.prediction == turn.answer or normalise(turn.prediction) == normalise(turn.answer)


def alike(turn: Prediction) -> float:
    """Returns the F1 of the words that prediction and gold answer have in common."""
    said, gold = (Counter(normalise(text).split()) for text in (turn.prediction, turn.answer))
    total = said.total() + gold.total()
    return 2 * (said & gold).total() / total if total else 1.0


def gallery(experiment: str, predictions: Sequence[Prediction], *, many: bool, judged: bool) -> Gallery:
    """Chooses the samples of an experiment, yet without pictures; fewer where there are ``many`` experiments."""
    turns: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        turns[prediction.id].append(prediction)
    samples = [tuple(sorted(turns[sample], key=lambda turn: turn.turn)) for sample in sorted(turns)]
    cases = case_scores(predictions, judged=judged)
    place = {score.case: i for i, score in enumerate(cases)}
    wrong = [sample for sample in samples if not all(map(is_right, sample))] if judged else samples
    right = [sample for sample in samples if all(map(is_right, sample))] if judged else samples
    share = 3 if many else 1
    return Gallery(
        experiment=experiment,
        judged=judged,
        wrong=_show(wrong, WRONG // share, place, _badness),
        right=_show(right, RIGHT // share, {}, lambda sample: (0.0, -_likeness(sample))),
        n_wrong=len(wrong),
        n_right=len(right),
        cases=cases,
    )


def illustrate(shown: Gallery, pictures: Pictures) -> Gallery:
    """Gives the samples of an experiment their pictures, as far as the page has room for them."""
    pictures.next_part()

    def with_strips(samples: Sequence[Shown]) -> tuple[Shown, ...]:
        return tuple(dataclasses.replace(sample, strip=pictures.strip(sample.clip)) for sample in samples)

    return dataclasses.replace(shown, wrong=with_strips(shown.wrong), right=with_strips(shown.right))


def case_scores(predictions: Sequence[Prediction], *, judged: bool) -> tuple[CaseScore, ...]:
    """Returns each case's share of right answers (of words in common, where not ``judged``), the worst first."""
    scores: dict[str, list[float]] = defaultdict(list)
    for turn in predictions:
        scores[turn.case].append(float(is_right(turn)) if judged else alike(turn))
    found = [CaseScore(case=case, n=len(one), value=sum(one) / len(one)) for case, one in scores.items() if case]
    return tuple(sorted(found, key=lambda score: (score.value, score.case)))


def _likeness(sample: Answered) -> float:
    return sum(map(alike, sample)) / len(sample)


def _badness(sample: Answered) -> tuple[float, float]:
    return -sum(not is_right(turn) for turn in sample), _likeness(sample)


def _show(
    samples: Sequence[Answered],
    limit: int,
    place: dict[str, int],
    order: Callable[[Answered], tuple[float, float]],
) -> tuple[Shown, ...]:
    # One of each case, then a second of each: a page of one bad case would not show what goes wrong elsewhere.
    taken: Counter[str] = Counter()
    ranked: list[tuple[int, int, int, Answered]] = []
    for sample in sorted(samples, key=lambda sample: (order(sample), sample[0].id)):
        case = sample[0].case
        ranked.append((taken[case], place.get(case, len(place)), len(ranked), sample))
        taken[case] += 1
    return tuple(
        Shown(
            id=sample[0].id,
            case=sample[0].case,
            clip=sample[0].clip,
            phase=sample[0].phase,
            turns=tuple(map(_shown_turn, sample)),
        )
        for *_, sample in sorted(ranked)[:limit]
    )


def _shown_turn(turn: Prediction) -> ShownTurn:
    return ShownTurn(
        question=turn.question,
        answer=turn.answer,
        prediction=turn.prediction,
        right=is_right(turn),
        alike=alike(turn),
    )
