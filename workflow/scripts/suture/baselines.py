"""What a model must be compared with: answers that need no look at the video, and what the metric can reach."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from suture import predicted
from suture.errors import InputError
from suture.records import Clip, Sample
from suture.splitting import without_repeats
from suture.tasks.base import FloatArray, Row

MAJORITY = "majority"
BLIND = "blind"
CEILING = "ceiling"
METADATA = "metadata"
OWN = (MAJORITY, CEILING, METADATA)
"""Those that are made here; others are predictions of other models, or of the same one shown something else."""

# A forest keeps a share of each answer in each leaf: answers beyond these are too rare to be worth a guess.
_MOST_ANSWERS = 200
_TREES = 100
_MIN_LEAF = 3


def _most_frequent(answers: Iterable[str]) -> str:
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))


def majority(rows: Sequence[Row], train: Sequence[Sample]) -> tuple[list[Row], int]:
    """Answers each row with the most frequent training answer to the same question.

    Ties go to the answer that sorts first. A question that training never
    asked takes the most frequent answer of its kind, or of all. Repeats that
    balance the training samples are not counted: they would move the majority.

    Returns:
        the rows so answered, and how many questions training never asked.
    """
    by_question: dict[str, list[str]] = defaultdict(list)
    by_kind: dict[str, list[str]] = defaultdict(list)
    everything: list[str] = []
    for sample in without_repeats(train):
        for turn in sample.turns:
            by_question[turn.question].append(turn.answer)
            by_kind[turn.kind].append(turn.answer)
            everything.append(turn.answer)
    question_answer = {question: _most_frequent(answers) for question, answers in by_question.items()}
    kind_answer = {kind: _most_frequent(answers) for kind, answers in by_kind.items()}
    overall = _most_frequent(everything)
    said = [question_answer.get(row.question) or _of_kind(row.kind, kind_answer, overall) for row in rows]
    return answered(rows, said), sum(row.question not in question_answer for row in rows)


def _of_kind(kind: str, known: Mapping[str, str], overall: str) -> str:
    """Looks a kind up; of several groups, joined by ``/``, the last are left out until it is known."""
    while kind and kind not in known:
        kind = kind.rpartition("/")[0]
    return known.get(kind, overall)


def ceiling(rows: Sequence[Row]) -> list[Row]:
    """Answers each row with its gold answer: what the measures can reach. Some cannot reach 1."""
    return answered(rows, [row.answer for row in rows])


def answered(rows: Sequence[Row], said: Sequence[str]) -> list[Row]:
    """Returns rows with other answers, which have no scores."""
    return [replace(row, prediction=text, scores={}) for row, text in zip(rows, said, strict=True)]


def from_file(rows: Sequence[Row], path: Path) -> list[Row]:
    """Answers each row as another file of predictions does: a blind model, shuffled videos, the base model.

    Raises:
        InputError: it has no answer to some row, or another gold answer.
    """
    gold = {row.id: row.answer for row in rows} if predicted.is_table(path) else None
    theirs = {(row.id, row.turn): row for row in predicted.read(path, gold).rows}
    without = [row for row in rows if (row.id, row.turn) not in theirs]
    if without:
        raise InputError(
            f"{len(without)} of {len(rows)} questions are not answered, first: id {without[0].id!r}, "
            f"turn {without[0].turn}",
            where=path,
            fix="predict the baseline on the same samples",
        )
    said = [theirs[row.id, row.turn] for row in rows]
    other = next((mine for mine, one in zip(rows, said, strict=True) if mine.answer != one.answer), None)
    if other is not None:
        raise InputError(
            f"another gold answer than in the predictions: id {other.id!r}, turn {other.turn}",
            where=path,
            fix="predict the baseline on the same samples",
        )
    return [replace(row, prediction=one.prediction, scores=one.scores) for row, one in zip(rows, said, strict=True)]


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """What a clip's file tells without being looked into: seconds, and bytes."""

    seconds: float
    size: float


def read_clips(clips: Iterable[Clip], folder: Path) -> dict[str, ClipFacts]:
    """Returns length and file size by clip id; ``folder`` is that of the clips.

    Raises:
        InputError: a clip's file is missing.
    """
    facts = {}
    for clip in clips:
        path = folder / clip.path
        if not path.is_file():
            raise InputError(f"clip {clip.id!r} has no file", where=path, fix="give the folder of the clips")
        facts[clip.id] = ClipFacts(seconds=clip.end_s - clip.start_s, size=float(path.stat().st_size))
    return facts


def metadata(rows: Sequence[Row], train: Sequence[Sample], clips: Mapping[str, ClipFacts], *, seed: int) -> list[Row]:
    """Answers each row from case, clip length, file size and question, as a random forest learnt it in training.

    What it gets right was never in the pixels. Answers beyond the 200 most
    frequent ones of training are not learnt.

    Raises:
        InputError: the rows name no clips, or a clip is not known.
    """
    # Not before: it costs a second.
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.preprocessing import OrdinalEncoder

    asked = [(s.case, s.clip, turn.question, turn.answer) for s in without_repeats(train) for turn in s.turns]
    often = {answer for answer, _ in Counter(answer for *_, answer in asked).most_common(_MOST_ANSWERS)}
    learnt = [one for one in asked if one[3] in often]
    names = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    names.fit([[case, question] for case, _, question, _ in learnt])

    def features(those: Sequence[tuple[str, str, str]]) -> FloatArray:
        unknown = next((clip for _, clip, _ in those if clip not in clips), None)
        if unknown is not None:
            raise InputError(
                f"clip {unknown!r} is not among the clips" if unknown else "the predictions name no clips",
                fix="give the clips of the run, and predictions with `clip`",
            )
        facts = [[clips[clip].seconds, clips[clip].size] for _, clip, _ in those]
        texts: FloatArray = names.transform([[case, question] for case, _, question in those])
        return np.hstack([texts, np.array(facts, dtype=np.float64)])

    forest = RandomForestClassifier(n_estimators=_TREES, min_samples_leaf=_MIN_LEAF, random_state=seed)
    forest.fit(features([one[:3] for one in learnt]), [one[3] for one in learnt])
    said: list[str] = list(forest.predict(features([(row.case, row.clip, row.question) for row in rows])))
    return answered(rows, [str(text) for text in said])
