"""What drawn chest images show: invented findings, and a report whose every sentence the picture alone tells.

Not anatomy: each finding is one thing to be seen. The wording is this file's
own; no sentence is from any dataset. Standard library only: the Snakefile asks
for the cases.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

HEARTS = ("normal", "mildly enlarged", "severely enlarged")
SIDES = ("right", "left")


@dataclass(frozen=True)
class Chest:
    """What is to be seen. '' where a finding is absent; ``effusion`` and ``nodule`` name a side."""

    heart: int
    effusion: str
    nodule: str
    large: bool
    opacity: bool
    device: bool

    @property
    def findings(self) -> str:
        """The findings section."""
        size = "large" if self.large else "small"
        return " ".join(
            (
                f"The heart is {HEARTS[self.heart]}.",
                f"There is a {self.effusion} pleural effusion." if self.effusion else "There is no pleural effusion.",
                f"A {size} nodule is in the {self.nodule} lung." if self.nodule else "No nodule is seen.",
                "Opacity in the upper lungs." if self.opacity else "The upper lungs are clear.",
                "A central line is in place." if self.device else "No device is seen.",
            )
        )

    @property
    def impression(self) -> str:
        """The impression section."""
        ill = self.heart or self.effusion or self.nodule or self.opacity
        return "Abnormal chest." if ill else "Normal chest."


@dataclass(frozen=True)
class Study:
    """A study of a patient: its number, what it shows, and the views that were taken."""

    id: str
    chest: Chest
    views: tuple[str, ...]


def case_ids(patients: int) -> list[str]:
    """Names the drawn patients, as MIMIC names its folders."""
    return [f"p{_subject(number)}" for number in range(1, patients + 1)]


def _subject(number: int) -> str:
    return f"1{number % 10}{number:06d}"


def studies(number: int, seed: int) -> list[Study]:
    """Plans the studies of a patient: a function of number and seed.

    The first has a frontal view; some others are lateral alone.
    """
    chance = random.Random(f"{seed}/{number}")  # a text as seed is digested: no salt of the process
    made = []
    for place in range(chance.choice((1, 2, 2, 3))):
        chest = Chest(
            heart=chance.choices((0, 1, 2), (5, 3, 2))[0],
            effusion=chance.choice((*SIDES, "", "")),
            nodule=chance.choice((*SIDES, "", "")),
            large=chance.random() < 0.5,
            opacity=chance.random() < 0.4,
            device=chance.random() < 0.4,
        )
        frontal = chance.choice(("PA", "AP"))
        other = chance.random()
        views = (frontal, "LATERAL") if other < 0.25 else (frontal,)
        made.append(Study(id=f"5{number:06d}{place}", chest=chest, views=views))
        if other > 0.95:
            made.append(Study(id=f"5{number:06d}9", chest=chest, views=("LATERAL",)))
            break
    return made
