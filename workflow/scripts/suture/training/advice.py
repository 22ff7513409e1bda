"""What would fit where a batch does not: found by trying, on the run's own longest samples.

What a batch takes grows by as much with each sample: the line through two
batches that fit says what others need. A suggestion is tried before it is
made, and keeps the number of samples in an optimiser's step where it can.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from suture.errors import InputError
from suture.training.memory import in_gib

if TYPE_CHECKING:
    from suture.training.probe import Probe

TRIES = 3
"""How many candidates of a kind are tried, from the largest that should fit on."""

WORTH = 0.1
"""Share of the memory that must be gained for another way of training to be named."""

LEAST = 28
"""Side in pixels of the smallest frames that are suggested."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """An optimiser's step of ``accumulation`` batches, None for the run's own number.

    ``frames`` is the most that a clip has, ``size`` their height and width in
    pixels; None: as they are cached. ``recompute``: with gradient checkpointing.
    """

    batch: int
    accumulation: int | None = None
    frames: int | None = None
    size: tuple[int, int] | None = None
    recompute: bool = False


def line(points: Mapping[int, int]) -> Callable[[float], float]:
    """Returns the straight line through the first and the last of two or more points, by their x."""
    first, last = min(points), max(points)
    slope = (points[last] - points[first]) / (last - first)
    return lambda x: points[first] + slope * (x - first)


def find(probe: Probe, fitting: Mapping[int, int]) -> tuple[str, list[str]]:
    """Looks for what would fit in place of the batch that does not.

    Args:
        probe: tries steps.
        fitting: batches that are known to fit, with their bytes; none: not even one sample does.

    Returns:
        What is wrong, and the ways out, the one that changes least first; both with numbers.
    """
    options = probe.options
    points = {0: probe.idle(), **fitting} if len(fitting) == 1 else dict(fitting)
    if points:
        needed = in_gib(line(points)(options.batch_size))
        problem = f"batch_size {options.batch_size} of up to {probe.tokens:,} tokens needs about {needed}"
        ways = [*_smaller_batches(probe, points), *_lighter_samples(probe, points)]
    else:
        problem = f"even one sample of {probe.tokens:,} tokens needs more"
        ways = _lighter_sample(probe)
    # A gradient and two numbers of the optimiser for each parameter.
    state = 3 * probe.trained_bytes()
    if options.adapter is None and state > WORTH * probe.capacity:
        ways.append(f"use_lora: true (gradients and optimiser of full training take {in_gib(state)})")
    if options.adapter == "lora" and not points:
        ways.append(f"use_qlora: true (the weights take {in_gib(probe.weight_bytes())} now)")
    return f"{problem}, there are {in_gib(probe.capacity)}", ways or ["a device with more memory"]


def _room(probe: Probe) -> float:
    return probe.safe * probe.capacity


def _tried(probe: Probe, step: Step) -> int | None:
    taken = probe.needed(step)
    return taken if taken and taken <= _room(probe) else None


def _smaller_batches(probe: Probe, points: Mapping[int, int]) -> list[str]:
    """Words the largest batch that fits, and before it the largest that keeps the samples of a step as they are."""
    options = probe.options
    total = options.batch_size * options.gradient_accumulation_steps
    needed, inputs = line(points), probe.input_bytes()

    def step(batch: int) -> Step:
        return Step(batch=batch, accumulation=math.ceil(total / batch))

    def estimate(batch: int) -> float:
        # More batches a step: more of them wait for their turn, and gradients are there from the first one on.
        waiting = (step(batch).accumulation or 0) - options.gradient_accumulation_steps
        gradients = probe.trained_bytes() if options.gradient_accumulation_steps == 1 else 0
        return needed(batch) + waiting * batch * inputs + gradients

    candidates = [batch for batch in range(options.batch_size - 1, 0, -1) if estimate(batch) <= _room(probe)]
    largest = next((batch for batch in [*candidates[:TRIES], *candidates[-1:]] if _tried(probe, step(batch))), None)
    if largest is None:
        return []
    keeping = max(batch for batch in range(1, largest + 1) if total % batch == 0)
    ways = []
    for batch in dict.fromkeys((keeping, largest)):
        taken, accumulation = _tried(probe, step(batch)), step(batch).accumulation or 1
        samples = f"{batch * accumulation} samples a step" + ("" if batch == keeping else f", now {total}")
        if taken:
            ways.append(
                f"batch_size {batch} with gradient_accumulation_steps {accumulation} ({in_gib(taken)}, {samples})"
            )
    return ways


def _lighter_samples(probe: Probe, points: Mapping[int, int]) -> list[str]:
    """Words what lets the whole batch fit: recomputed activations, fewer frames, smaller frames."""
    wanted, tried = probe.options.batch_size, max(points)
    ways = []
    if not probe.options.gradient_checkpointing:
        steps = [Step(batch=batch, recompute=True) for batch in dict.fromkeys((1, tried))]
        recomputed = {step.batch: taken for step in steps if (taken := probe.needed(step))}
        recomputed = recomputed if len(recomputed) > 1 else {0: probe.idle(), **recomputed}
        if line(recomputed)(wanted) <= _room(probe):
            ways += _worded(probe, [Step(batch=wanted, recompute=True)])
    fewer, smaller = _fewer_frames(probe, wanted), _smaller_frames(probe, wanted)
    for lighter in (fewer, smaller):
        # What one visual token less saves, from the largest batch that fits.
        least = lighter[-1:] and replace(lighter[-1], batch=tried)
        taken = probe.needed(least) if least else None
        if not (least and taken):
            continue
        saved = (points[tried] - taken) / (probe.tokens_of(Step(batch=1)) - probe.tokens_of(least)) / tried
        whole = line(points)(wanted)

        def needed(step: Step, whole: float = whole, saved: float = saved) -> float:
            return whole - step.batch * saved * (probe.tokens_of(Step(batch=1)) - probe.tokens_of(step))

        ways += _worded(probe, [step for step in lighter if needed(step) <= _room(probe)][:TRIES])
    return ways


def _lighter_sample(probe: Probe) -> list[str]:
    """Words what lets one sample fit."""
    total = probe.options.batch_size * probe.options.gradient_accumulation_steps
    ways = []
    if not probe.options.gradient_checkpointing:
        ways += _worded(probe, [Step(batch=1, accumulation=total, recompute=True)])
    for kind in (_fewer_frames, _smaller_frames):
        lighter = [replace(step, accumulation=total) for step in kind(probe, 1)]
        # Nothing says where to begin: a half, a quarter, the least.
        ways += _worded(
            probe, [lighter[len(lighter) // 2], lighter[3 * len(lighter) // 4], lighter[-1]] if lighter else []
        )
    alone = f" with batch_size 1 and gradient_accumulation_steps {total}" if probe.options.batch_size > 1 else ""
    return [f"{way}{alone}" for way in ways]


def _worded(probe: Probe, candidates: Sequence[Step]) -> list[str]:
    """Tries steps until one fits, and words it; nothing where none does."""
    frames, _, _ = probe.shape(Step(batch=1))
    for step in candidates:
        taken = _tried(probe, step)
        if taken is None:
            continue
        if step.recompute:
            what = "gradient_checkpointing: true"
        elif step.frames:
            what = f"{step.frames} of {frames} frames a clip"
        else:
            what = "frames of {1}x{2} pixels".format(*probe.shape(step))
        return [f"{what} ({in_gib(taken)})"]
    return []


def _fewer_frames(probe: Probe, batch: int) -> list[Step]:
    """Returns steps with fewer frames and fewer tokens, the most first."""
    frames, _, _ = probe.shape(Step(batch=1))
    steps = [Step(batch=batch, frames=n) for n in range(frames, 0, -1)]
    return [after for before, after in pairwise(steps) if probe.tokens_of(after) < probe.tokens_of(before)]


def _smaller_frames(probe: Probe, batch: int) -> list[Step]:
    """Returns steps with smaller frames of nearly the same form that the vision tower can take, the largest first."""
    _, height, width = probe.shape(Step(batch=1))
    found = []
    for h in range(height - 1, LEAST - 1, -1):
        near = width * h / height
        around = range(max(LEAST, math.floor(near) - LEAST // 2), math.ceil(near) + LEAST // 2)
        size = next(((h, w) for w in sorted(around, key=lambda w: abs(w - near)) if _taken(probe, h, w)), None)
        if size:
            found.append(Step(batch=batch, size=size))
    return found


def _taken(probe: Probe, height: int, width: int) -> bool:
    try:
        probe.model.check_size(height, width)
    except InputError:
        return False
    return True
