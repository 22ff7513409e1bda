"""Flags of the commands that train on frames drawn from clips which are cached whole."""

from __future__ import annotations

import argparse
from typing import Any

from suture.errors import InputError
from suture.frame_draws import METHODS, Sampling

USES = {"train": "of training", "val": "of validation", "test": "kept for predict.py"}


def add(parser: argparse.ArgumentParser) -> None:
    """Adds ``--train-sampling``, ``--val-sampling`` and ``--test-sampling``."""
    drawn = parser.add_argument_group(
        "frames drawn from clips that are cached whole (cache_frames.py --all), --frames of them"
    )
    for split, use in USES.items():
        drawn.add_argument(f"--{split}-sampling", choices=METHODS, help=f"{use} (middle: evenly spaced, never drawn)")


def of(args: argparse.Namespace) -> Sampling | None:
    """Returns how frames are drawn as they are used; None where the cached ones are seen.

    Raises:
        InputError: their number is not given, or features are.
    """
    methods: dict[str, Any] = {split: getattr(args, f"{split}_sampling") or "middle" for split in USES}
    if set(methods.values()) == {"middle"}:
        return None
    if args.frames is None:
        raise InputError("how many frames are drawn?", fix="give --frames N")
    if args.features_cache:
        raise InputError("features are of the same frames each time", fix="leave out --*-sampling or --features-cache")
    return Sampling(count=args.frames, **methods)
