"""What an answer about a fetal ultrasound image says, question by question, and how near it is to the gold answer.

The scorer of FADA (ElyasAmri/fada-v2, experiments/evaluation/question_scorer.py)
is the source of words, bins and partial credit; what is read otherwise is said
beside it. All scores lie between 0 and 1, and equal answers score 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from suture.vocabulary import Synonyms, mentions

AGE_BORDERS = (8.0, 13.0, 15.0, 20.0, 25.0, 30.0, 35.0, 38.0)
"""Lower borders, in weeks, of the published bins: 8-13, 13-15, ..., 35-38, 38 and more."""

_OLDEST = 45.0

_PRESENTATIONS = (
    ("cephalic", ("cephalic", "vertex", "head down", "head first")),
    ("breech", ("breech", "footling", "feet first", "foot first")),
    ("transverse", ("transverse",)),
    ("oblique", ("oblique",)),
    ("longitudinal", ("longitudinal",)),
)
_PLANES = (
    ("trans-thalamic", ("trans thalamic", "transthalamic")),
    ("trans-cerebellar", ("trans cerebellar", "transcerebellar")),
    ("trans-ventricular", ("trans ventricular", "transventricular")),
    ("trans-abdominal", ("trans abdominal", "transabdominal")),
    ("4-chamber", ("4 chamber", "four chamber")),
    ("mid-sagittal", ("mid sagittal", "midsagittal")),
    ("para-sagittal", ("para sagittal", "parasagittal")),
    ("sagittal", ("sagittal",)),
    ("coronal", ("coronal",)),
    ("axial", ("transverse", "axial", "cross sectional")),
    ("longitudinal", ("longitudinal",)),
    ("lateral", ("lateral",)),
    ("anterior", ("anterior",)),
    ("posterior", ("posterior",)),
)
_MEASUREMENTS: Mapping[str, Sequence[str]] = {
    "AC": ("abdominal circumference",),
    "HC": ("head circumference",),
    "BPD": ("biparietal diameter",),
    "CRL": ("crown rump length",),
    "NT": ("nuchal translucency",),
    "FL": ("femur length", "femoral length"),
    "CL": ("cervical length",),
    "cerebellum": ("cerebellar", "transcerebellar diameter", "TCD"),
    "cisterna magna": (),
    "lateral ventricle": ("lateral ventricular",),
    "nuchal fold": (),
    "angle of progression": ("AOP",),
    "aorta": ("aortic", "aortic diameter"),
    "IVC": ("inferior vena cava",),
    "FMF": ("frontomaxillary facial angle", "frontomaxillary"),
    "intracranial translucency": (),
    "OFD": ("occipitofrontal diameter", "occipitofrontal"),
    "cardiac chambers": ("cardiac chamber", "chamber dimensions"),
    "nasal bone": ("nasal bone length",),
}
_TIERS = (
    ("good", ("good", "high", "excellent")),
    ("medium", ("medium", "acceptable", "moderate", "adequate", "fair")),
    ("low", ("low", "bad", "poor", "suboptimal", "dark")),
)
_ORDER = ("low", "medium", "good")
_ABNORMAL = re.compile(
    r"\babnormal\b|\bnot normal\b|\bincreased nt\b|\bthicken\w* nt\b|\bnt thicken\w*|\bspina bifida\b|\bvsd\b"
    r"|\bdilat\w*|\bh(?:a)?ematoma\b|\bpr(?:a)?evia\b"
)
_NOTHING_ABNORMAL = re.compile(r"\b(?:no|without(?: any)?|not?) (?:visible |obvious |gross )?(?:abnormal\w*|anomal\w*)")
_NORMAL = re.compile(r"\bnormal\b")

_SEPARATORS = re.compile(r"[,;\n]|\.(?:\s|$)|\band\b|&")
_RANGE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:-|\u2013|to)\s*(\d+(?:\.\d+)?)")
_WEEKS_DAYS = re.compile(r"(\d+)\s*w(?:ee)?k?s?\s*(?:\+|and)?\s*(\d)\s*d")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@lru_cache(maxsize=1 << 16)
def plain(text: str) -> str:
    """Returns a text in lower case, with single blanks, hyphens as blanks, and no punctuation at its end."""
    return " ".join(text.casefold().replace("-", " ").split()).strip(" .;,:")


def first_word(text: str, words: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Returns the first of some names that a text has a word of, '' where it has none."""
    said = plain(text)
    return next((n for n, forms in words if any(re.search(rf"\b{form}\b", said) for form in forms)), "")


def presentation(text: str) -> str:
    """Reads the presentation: cephalic, breech, transverse, oblique, longitudinal, or ''."""
    return first_word(text, _PRESENTATIONS)


def plane(text: str) -> str:
    """Reads the imaging plane, or ''."""
    return first_word(text, _PLANES)


def tier(text: str) -> str:
    """Reads the image quality: good, medium, low, or ''."""
    return first_word(text, _TIERS)


def normality(text: str) -> str:
    """Reads normal, abnormal, or ''. "No abnormality" is normal, where the published scorer reads nothing."""
    said = plain(text)
    if _ABNORMAL.search(_NOTHING_ABNORMAL.sub(" ", said)):
        return "abnormal"
    return "normal" if _NORMAL.search(said) or _NOTHING_ABNORMAL.search(said) else ""


def age_bin(text: str) -> int | None:
    """Returns the bin of a gestational age: a range counts by its middle, "12w+4d" as 12.6 weeks; None: no age.

    A number below 8 weeks or above 45 is none, and neither are months.
    """
    said = text.casefold()
    if "month" in said or not (found := _NUMBER.search(said)):
        return None
    if days := _WEEKS_DAYS.search(said):
        weeks = int(days[1]) + int(days[2]) / 7
    elif both := _RANGE.search(said):
        weeks = (float(both[1]) + float(both[2])) / 2
    else:
        weeks = float(found[0])
    if not AGE_BORDERS[0] <= weeks <= _OLDEST:
        return None
    return max(place for place, border in enumerate(AGE_BORDERS) if border <= weeks)


def structures(text: str, synonyms: Synonyms) -> frozenset[str]:
    """Returns the structures that an answer lists: known ones by their canonical name, others as they are written.

    What is denied ("no stomach") is not among them.
    """
    found: set[str] = set()
    for piece in _SEPARATORS.split(text):
        named = mentions(piece, synonyms)
        found |= named.affirmed
        if not named.affirmed and not named.negated and (said := plain(piece)):
            found.add(said)
    return frozenset(found)


def measurements(text: str) -> frozenset[str]:
    """Returns the biometric measurements that an answer names."""
    return mentions(text, _MEASUREMENTS).affirmed


def same_or_alike(read: Callable[[str], str]) -> Callable[[str, str], float]:
    """Makes a score: 1 for equal answers, 0.5 where both have one reading."""

    def score(said: str, gold: str) -> float:
        if plain(said) == plain(gold):
            return 1.0
        return 0.5 if read(gold) and read(said) == read(gold) else 0.0

    return score


def measurement_score(said: str, gold: str) -> float:
    """Returns F1 of the measurements named; equal answers score 1."""
    return 1.0 if plain(said) == plain(gold) else f_score(measurements(said), measurements(gold))


def age_score(said: str, gold: str) -> float:
    """Scores an age: 1 in the gold answer's bin, 0.5 in the one beside it."""
    mine, right = age_bin(said), age_bin(gold)
    if mine is None or right is None:
        return float(plain(said) == plain(gold))
    return (1.0, 0.5)[abs(mine - right)] if abs(mine - right) < 2 else 0.0


def tier_score(said: str, gold: str) -> float:
    """Scores a quality: 1 in the gold answer's tier, 0.5 in the one beside it."""
    mine, right = tier(said), tier(gold)
    if not mine or not right:
        return float(plain(said) == plain(gold))
    apart = abs(_ORDER.index(mine) - _ORDER.index(right))
    return (1.0, 0.5, 0.0)[apart]


def f_score(said: frozenset[str], gold: frozenset[str], beta: float = 1.0) -> float:
    """Returns F-beta of two sets: 1 where both are empty, 0 where one is."""
    if not said or not gold:
        return float(said == gold)
    hits = len(said & gold)
    weight = beta * beta
    return (1 + weight) * hits / (weight * len(gold) + len(said))
