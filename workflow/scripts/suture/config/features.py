"""Where the outputs of a frozen vision tower may be computed once for a whole run: decided from the options alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suture.config.training import Train


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How a vision tower is computed. Runs that agree in it can share a cache of features.

    ``precision`` is that of the forward pass, ``weights`` the type that the
    tower's weights are held in, ``attention`` what was asked for.
    """

    precision: str
    weights: str
    attention: str

    @property
    def key(self) -> str:
        """Name of the cache folder."""
        parts = [self.precision]
        if self.weights != self.precision:
            parts.append(f"{self.weights}weights")
        if self.attention != "sdpa":
            parts.append(self.attention.replace("_", ""))
        return "-".join(parts)

    @property
    def flags(self) -> str:
        """Flags of cache_features.py."""
        return f"--dtype {self.precision} --weights {self.weights} --attention {self.attention}"


def arithmetic(options: Train) -> Arithmetic:
    """Returns how a run computes its vision tower.

    Weights are held as :func:`suture.training.adapters.base_options` says; a test holds both equal.
    """
    held = "bf16" if options.adapter and options.precision == "bf16" else "fp32"
    return Arithmetic(precision=options.precision, weights=held, attention=options.attention)


def refusal(options: Train, encoders: Sequence[str] = ("vision", "projector")) -> str | None:
    """Says why a run cannot use cached features, or None where it can.

    Features stand for frames only where nothing varies the frames and nothing
    before the language model is trained. Which layers an expression in
    ``lora_targets`` names is not known before the model is loaded:
    :func:`suture.features.check_frozen` looks again then.

    Args:
        options: of the run.
        encoders: the towers that make features: ``ENCODERS`` of the family, if it says so.
    """
    if options.blind:
        return "`blind` shows no video"
    if options.train_projector and "projector" in encoders:
        return "`train_projector` trains the projector, whose outputs then change with each step"
    if options.augment:
        return "`augment` varies the frames at each step; features are of the frames as they are"
    if options.adapter and options.lora_vision_targets is not None:
        return "`lora_vision_targets` trains vision tower or projector, whose outputs then change with each step"
    learnt = [tower for tower in encoders if not options.adapter and tower not in options.frozen]
    if learnt:
        keys = " and ".join(f"`freeze_{tower}: true`" for tower in learnt)
        return f"full training changes the {' and the '.join(learnt)} at each step; add {keys}, or train adapters"
    return None
