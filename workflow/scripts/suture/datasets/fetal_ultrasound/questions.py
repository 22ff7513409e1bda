"""The eight standard questions, in full, and how a column's header names one of them.

Wording: FADA's question list (ElyasAmri/fada-v2, src/config/questions.py). The
published notebooks cut a question at 100 characters; seven of these are longer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from suture.delimited import plain


@dataclass(frozen=True)
class Question:
    """A standard question: ``kind`` groups its scores, ``titles`` are what headers call it."""

    number: int
    kind: str
    text: str
    titles: tuple[str, ...]


STANDARD = (
    Question(
        1,
        "anatomy",
        "Anatomical Structures Identification: Identify and describe all anatomical structures visible in the image.",
        ("Anatomical Structures", "Anatomical Structures Identification"),
    ),
    Question(
        2,
        "orientation",
        "Fetal Orientation: Determine the orientation of the fetus based on the image (e.g., head up/down, "
        "front/back view).",
        ("Fetal Orientation",),
    ),
    Question(
        3,
        "plane",
        "Plane Evaluation: Assess if the image is taken at a standard diagnostic plane and describe its diagnostic "
        "relevance.",
        ("Plane Evaluation", "Imaging Plane"),
    ),
    Question(
        4,
        "measurements",
        "Biometric Measurements: Identify any measurable biometric parameters (e.g., femur length, head circumference) "
        "from the image.",
        ("Biometric Measurements",),
    ),
    Question(
        5,
        "gestational_age",
        "Gestational Age: Estimate the gestational age of the fetus based on the visible features.",
        ("Gestational Age",),
    ),
    Question(
        6,
        "quality",
        "Image Quality: Assess the quality of the ultrasound image, mentioning any factors that might affect its "
        "interpretation (e.g., clarity, artifacts).",
        ("Image Quality",),
    ),
    Question(
        7,
        "normality",
        "Normality / Abnormality: Determine whether the observed structures appear normal or identify any visible "
        "abnormalities or concerns.",
        ("Normality / Abnormality", "Normality/Abnormality", "Normality Assessment"),
    ),
    Question(
        8,
        "recommendations",
        "Clinical Recommendations: Provide any relevant clinical recommendations or suggested next steps based on your "
        "interpretation.",
        ("Clinical Recommendations",),
    ),
)
KINDS = tuple(question.kind for question in STANDARD)

_HEADER = re.compile(r"\s*Q(?:uestion)?\s*0*(\d+)(?![^\W_])[\s:.)\-\u2013_]*(.*)", re.IGNORECASE | re.DOTALL)


def of_header(header: str) -> tuple[int, str, str] | None:
    """Reads a column's header as a question.

    ``Q1``, ``Q1: Anatomical Structures`` and ``Q1\\nAnatomical Structures
    Identification: Identify ...`` all are the first standard question. A header
    that says something else than its number's standard question is another
    question, in the header's own words.

    Returns:
        Its number, its full text and its kind; None where the header is no question's.
    """
    found = _HEADER.fullmatch(header)
    if found is None:
        return None
    number, words = int(found[1]), " ".join(found[2].split())
    standard = next((one for one in STANDARD if one.number == number), None)
    if standard and _names(words, standard):
        return number, standard.text, standard.kind
    return (number, words, f"q{number}") if words else None


def kind_of(text: str) -> str | None:
    """Returns the kind of a question that begins with a standard question's title; None of any other."""
    return next((one.kind for one in STANDARD if plain(text) and _names(text, one)), None)


def _names(words: str, question: Question) -> bool:
    said = plain(words)
    return not said or any(said.startswith(plain(title)) for title in (*question.titles, question.text))
