"""Which split each sample belongs to: by case, by folds of cases, or by clip as published.

Every choice is a function of ids, labels, shares and seed: input order, hash
seed and the order of folders play no part.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from suture.dealing import deal
from suture.errors import ConfigError, InputError
from suture.records import Clip, Sample

SPLITS = ("train", "val", "test")

Groups = Mapping[str, str]
"""Case id to the name of its group: the first case of those that share media."""


def merge_cases(clips: Iterable[Clip]) -> dict[str, str]:
    """Groups cases that share a video or a clip file, by sha256: one surgery under two names.

    Returns:
        Case id to group name, the smallest case id in the group.
    """
    group: dict[str, str] = {}

    def root(case: str) -> str:
        while group.setdefault(case, case) != case:
            case = group[case]
        return case

    owner: dict[str, str] = {}
    for clip in clips:
        mine = root(clip.case)
        for digest in filter(None, (clip.sha256, clip.source_sha256)):
            first, second = sorted((root(owner.setdefault(digest, mine)), mine))
            group[second] = mine = first
    return {case: root(case) for case in sorted(group)}


def by_case(
    samples: Sequence[Sample],
    groups: Groups,
    fractions: Sequence[float],
    seed: int,
    fixed: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Returns the split of each case, phases distributed as evenly as whole cases allow.

    Args:
        samples: what is split.
        groups: cases that must stay together, from :func:`merge_cases`.
        fractions: shares of train, val and test; a share of 0 leaves a split empty.
        seed: draws among the good outcomes.
        fixed: split by case, from lists. A split with a list holds its listed
            cases and those merged with them; other cases are dealt to the
            splits without a list, in proportion to their fractions.

    Raises:
        ConfigError: too few cases for the splits.
        InputError: a case outside the lists with no split left for it, or a
            split without any sample.
    """
    fixed = fixed or {}
    of_group: dict[str, str] = {}
    for case in sorted(fixed):
        of_group.setdefault(groups.get(case, case), fixed[case])
    split_of = {case: fixed.get(case) or of_group.get(groups[case]) for case in _cases(samples)}
    rest = _counts((sample for sample in samples if split_of[sample.case] is None), groups)
    shares = [0.0 if name in fixed.values() else share for name, share in zip(SPLITS, fractions, strict=True)]
    if rest and not any(shares):
        raise InputError(
            f"{len(rest)} cases are in no list: {', '.join(sorted(rest)[:5])}", fix="give each of them a split"
        )
    dealt = deal(rest, _normal(shares), seed) if rest else {}
    done = {case: split or SPLITS[dealt[groups[case]]] for case, split in split_of.items()}
    wanted = {name for name, share in zip(SPLITS, fractions, strict=True) if share > 0} | set(fixed.values())
    _check_filled(wanted, done.values(), len(done), "cases")
    return done


def by_fold(
    samples: Sequence[Sample], groups: Groups, folds: int, fold: int, fractions: Sequence[float], seed: int
) -> dict[str, str]:
    """Returns the split of each case where one of ``folds`` equal parts is the test set.

    Over all folds each case is tested once. The other cases become train and
    val in the proportion of the first two fractions.

    Raises:
        ConfigError: a fold that does not exist, or fewer cases than folds.
    """
    if folds < 2 or not 0 <= fold < folds:
        raise ConfigError(f"fold {fold} of {folds} does not exist", fix="--folds K (at least 2) --fold 0 to K-1")
    counts = _counts(samples, groups)
    fold_of = deal(counts, [1 / folds] * folds, seed)
    rest = {name: n for name, n in counts.items() if fold_of[name] != fold}
    dealt = deal(rest, _normal(fractions[:2]), seed)
    return {case: "test" if fold_of[groups[case]] == fold else SPLITS[dealt[groups[case]]] for case in _cases(samples)}


def by_clip(samples: Sequence[Sample], fractions: Sequence[float], seed: int) -> dict[str, str]:
    """Returns the split of each clip id, drawn without regard to cases: every case may be on all sides.

    The published way: shuffle by seed, the first ``fractions[0]`` are train. Ids
    are sorted first, so that, unlike the published one, the split is reproducible.

    Raises:
        ConfigError: too few clips for the splits.
    """
    ids = sorted({sample.clip for sample in samples})
    random.Random(seed).shuffle(ids)
    # 0.9 * 1646 may come out a hair below its value.
    borders = [math.floor(sum(fractions[:place]) * len(ids) + 1e-6) for place in (1, 2, 3)]
    names = [SPLITS[next(place for place in range(3) if index < borders[place])] for index in range(len(ids))]
    wanted = {name for name, share in zip(SPLITS, fractions, strict=True) if share > 0}
    _check_filled(wanted, names, len(ids), "clips")
    return dict(zip(ids, names, strict=True))


def check_never_trained(splits: Mapping[str, Sequence[Sample]], cases: frozenset[str]) -> None:
    """Refuses a split that trains or validates on cases which a dataset keeps for testing, whatever asked for it.

    Raises:
        InputError: naming them.
    """
    for name in ("train", "val"):
        if found := sorted({sample.case for sample in splits[name]} & cases):
            raise InputError(
                f"{', '.join(found)} would be in {name}: this dataset's published test set is never trained on",
                fix="split.official: true takes the publisher's split; or leave these out of `cases`",
            )


def balance(train: Sequence[Sample]) -> tuple[list[Sample], dict[str, dict[str, int]]]:
    """Repeats the samples of rare phases so that phases come near the largest in number.

    Each sample of a phase with ``n`` samples stands ``max // n`` times, as in the
    published script; phases are told apart by their full name. Repeats have
    ids ``<id>#2``, ``<id>#3`` and so on.

    Returns:
        The samples sorted by id, and for each repeated phase ``times`` and ``added``.
    """
    counts = Counter(sample.phase for sample in train)
    times = {phase: max(counts.values()) // n for phase, n in counts.items()}
    rows = [
        sample if number == 1 else _renamed(sample, f"{sample.id}#{number}")
        for sample in train
        for number in range(1, times[sample.phase] + 1)
    ]
    added = {
        phase: {"times": times[phase], "added": (times[phase] - 1) * counts[phase]}
        for phase in sorted(counts)
        if times[phase] > 1
    }
    return sorted(rows, key=lambda one: one.id), added


def without_repeats(samples: Sequence[Sample]) -> list[Sample]:
    """Returns the samples without the repeats that :func:`balance` added.

    A repeat has the id of another sample and ``#<n>`` behind it, and equals that sample in all else.
    """
    by_id = {sample.id: sample for sample in samples}
    return [sample for sample in samples if not _is_repeat(sample, by_id)]


def _is_repeat(sample: Sample, by_id: Mapping[str, Sample]) -> bool:
    name, _, number = sample.id.rpartition("#")
    return number.isdecimal() and name in by_id and _renamed(sample, name) == by_id[name]


def _renamed(sample: Sample, name: str) -> Sample:
    return Sample.from_json({**sample.to_json(), "id": name})


def _cases(samples: Iterable[Sample]) -> list[str]:
    return sorted({sample.case for sample in samples})


def _counts(samples: Iterable[Sample], groups: Groups) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for sample in samples:
        counts.setdefault(groups[sample.case], Counter())[sample.phase] += 1
    return counts


def _normal(shares: Sequence[float]) -> list[float]:
    return [share / sum(shares) for share in shares]


def _check_filled(wanted: Iterable[str], names: Iterable[str], total: int, unit: str) -> None:
    empty = sorted(set(wanted) - set(names), key=SPLITS.index)
    if empty:
        raise ConfigError(
            f"the {empty[0]} split would be empty: {total} {unit} in all",
            fix=f"add {unit}, change the fractions or lists, or give the {empty[0]} split a fraction of 0",
        )
