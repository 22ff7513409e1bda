"""How a closed question is put: alone, or with its candidates; the way of training is the way of evaluation.

A family that knows the two names them in ``PROMPT_MODES`` and words the
candidates in ``CANDIDATES``; its chat template says where they stand. What was
trained with is stored with the model, as text and by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from suture.errors import InputError

MODES = ("simple", "choices")


def text(family: str, known: Mapping[str, Any], mode: str, choices: Sequence[str]) -> str:
    """Returns what a prompt says beside the question, '' for nothing.

    Args:
        family: name of the family.
        known: constants of its module.
        mode: ``simple`` or ``choices``.
        choices: the closed set of answers, in its order; () where it is not given.

    Raises:
        InputError: the family knows no such mode, or there are no choices to show.
    """
    if mode not in known.get("PROMPT_MODES", ()):
        there = ", ".join(known.get("PROMPT_MODES", ())) or "none"
        raise InputError(f"prompt mode {mode!r} is none of {family}: {there}", fix="leave out the prompt mode")
    if mode == "simple":
        return ""
    if not choices:
        raise InputError("prompt mode choices shows the choices, and none are given", fix="give --choices FILE")
    return str(known["CANDIDATES"]).format(", ".join(choices))


def check(card: Mapping[str, Any], mode: str, told: str) -> None:
    """Refuses to ask a model in another way than it was trained in.

    Args:
        card: of the model; one that was not trained here says nothing.
        mode: that is asked for.
        told: what its prompt says beside the question.

    Raises:
        InputError: naming both ways.
    """
    trained = card.get("prompt_mode")
    if trained is None:
        return
    if trained != mode:
        raise InputError(
            f"the model was trained with prompt mode {trained!r}, not {mode!r}: its answers would be worth nothing",
            fix=f"--prompt-mode {trained}, or leave it out",
        )
    if card.get("system_prompt") != told:
        raise InputError(
            "the model was trained with other candidates, or with these in another order", fix="give that file"
        )
