"""Deals groups to hands so that each hand's classes come near its share.

The one algorithm behind stratified splits and folds. A group (a case, or cases
that share a video) is never divided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from suture.errors import ConfigError
from suture.files import sha256_text

TRIALS = 16
"""Most orders tried; the best outcome is kept."""

GREEDY_STEPS = 20_000
"""Groups placed in all trials together: with many groups any one order comes out even."""


def deal(groups: Mapping[str, Counter[str]], shares: Sequence[float], seed: int) -> dict[str, int]:
    """Returns the hand (index into ``shares``) of each group.

    Greedy: groups are taken in an order drawn from the seed by hash, each goes
    to the hand whose chi-square distance sum_c (n_c - t_c)^2 / t_c from the
    target t_c = share * total_c grows least. The best of up to ``TRIALS``
    orders is kept. The outcome depends on names, counts, shares and seed alone.

    Args:
        groups: samples by class, for each group.
        shares: the part of all samples that each hand should get; a hand of
            share 0 gets nothing.
        seed: draws the orders.

    Raises:
        ConfigError: fewer groups than hands to fill.
    """
    hands = [index for index, share in enumerate(shares) if share > 0]
    if len(groups) < len(hands):
        wanted = " ".join(f"{share:g}" for share in shares)
        raise ConfigError(
            f"{len(groups)} groups of cases cannot fill {len(hands)} splits (shares {wanted})",
            fix="add cases, or ask for fewer splits, e.g. --fractions 0.5 0.5 0",
        )
    # Sums of floats depend on their order: none of it may come from the caller.
    groups = {name: Counter(dict(sorted(groups[name].items()))) for name in sorted(groups)}
    total: Counter[str] = Counter()
    for counts in groups.values():
        total.update(counts)
    targets = {hand: {name: shares[hand] * n for name, n in total.items()} for hand in hands}
    count = max(1, min(TRIALS, GREEDY_STEPS // max(1, len(groups))))
    trials = [_greedy(groups, targets, _order(groups, seed, trial)) for trial in range(count)]
    # min() keeps the first of equals, so the outcome is settled.
    return min(trials, key=lambda outcome: _distance(groups, targets, outcome))


def _order(groups: Mapping[str, Counter[str]], seed: int, trial: int) -> list[str]:
    return sorted(groups, key=lambda name: sha256_text(f"{seed}/{trial}/{name}"))


def _greedy(
    groups: Mapping[str, Counter[str]], targets: Mapping[int, Mapping[str, float]], order: Sequence[str]
) -> dict[str, int]:
    held: dict[int, Counter[str]] = {hand: Counter() for hand in targets}
    outcome: dict[str, int] = {}
    for place, name in enumerate(order):
        empty = [hand for hand in targets if hand not in outcome.values()] if place >= len(order) - len(targets) else []
        # The last groups are kept for hands that are still empty.
        open_hands = empty if len(empty) == len(order) - place else list(targets)
        hand = min(open_hands, key=lambda one: _growth(held[one], targets[one], groups[name]))
        held[hand].update(groups[name])
        outcome[name] = hand
    return outcome


def _growth(held: Mapping[str, int], target: Mapping[str, float], added: Mapping[str, int]) -> float:
    # (h + a - t)^2 / t - (h - t)^2 / t, summed over the classes of the group
    return sum(n * (n + 2 * (held.get(name, 0) - target[name])) / target[name] for name, n in added.items())


def _distance(
    groups: Mapping[str, Counter[str]], targets: Mapping[int, Mapping[str, float]], outcome: Mapping[str, int]
) -> float:
    held: dict[int, Counter[str]] = {hand: Counter() for hand in targets}
    for name, hand in outcome.items():
        held[hand].update(groups[name])
    return sum((held[hand][name] - t) ** 2 / t for hand, target in targets.items() for name, t in target.items())
