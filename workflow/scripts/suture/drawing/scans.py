"""What drawn ultrasound images show: invented facts, eight answers to each that the picture alone tells.

Not anatomy: each fact is one thing to be seen. Which structures are there;
the side they lie to; whether the plane is standard (what is round becomes
flat); what could be measured in it; the age (size); the quality (noise and
brightness); a bright focus where none belongs; and what follows from all that.
As in FADA most images are normal: one recommendation is right for about three
of four. Standard library only: the Snakefile asks for the cases.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A body part: its structures (the first always there), its standard plane, what is measured in it."""

    structures: tuple[str, ...]
    plane: str
    measurement: str


PARTS = {
    "Abdomen": Part(("liver", "stomach", "spine", "umbilical vein"), "Transverse trans-abdominal plane", "AC"),
    "Femur": Part(("femur", "thigh muscle", "skin"), "Longitudinal view of femur", "Femur length"),
    "Thorax": Part(("heart", "lung", "spine", "rib"), "Transverse 4-chamber heart view", "Cardiac chamber dimensions"),
    "Trans-thalamic": Part(
        ("fetal skull", "thalami", "falx cerebri", "choroid plexus"), "Trans-thalamic view", "BPD and HC"
    ),
    "Aorta": Part(("aorta", "spine", "liver"), "Sagittal view of aorta", "Aortic transverse diameter"),
    "Standard_NT": Part(("facial profile", "nuchal translucency", "nasal bone"), "Mid-sagittal", "NT thickness"),
}
"""By category, in FADA's names."""

AGES = ("8-13 weeks", "15-20 weeks", "20-25 weeks", "25-30 weeks", "30-35 weeks")
QUALITIES = ("Good image quality", "Medium image quality", "Low image quality")


@dataclass(frozen=True)
class Scan:
    """What is to be seen in one image. ``turned``: the side is the right one; ``standard``: the plane is."""

    category: str
    structures: tuple[str, ...]
    turned: bool
    standard: bool
    age: int
    quality: int
    abnormal: bool

    @property
    def answers(self) -> tuple[str, ...]:
        """The eight answers, in FADA's order."""
        part = PARTS[self.category]
        follow = "Complete anomaly scan and follow up" if self.abnormal else "Prenatal routine monitoring"
        return (
            ", ".join(sorted(self.structures)),
            f"Cephalic presentation, fetal head to the {'right' if self.turned else 'left'}",
            part.plane if self.standard else "Oblique plane",
            part.measurement if self.standard else "Not measurable",
            AGES[self.age],
            QUALITIES[self.quality],
            "Abnormal, hyperechoic focus" if self.abnormal else "Normal",
            "Repeat the scan with a better view" if self.quality == 2 else follow,
        )


def plan(category: str, number: int, seed: int) -> Scan:
    """Draws the facts of one image: a function of category, number and seed."""
    chance = random.Random(f"{seed}/{category}/{number}")  # a text as seed is digested: no salt of the process
    part = PARTS[category]
    others = [name for name in part.structures[1:] if chance.random() < 0.55]
    return Scan(
        category=category,
        structures=(part.structures[0], *others),
        turned=chance.random() < 0.5,
        standard=chance.random() < 0.75,
        age=chance.choices(range(len(AGES)), [1, 2, 4, 2, 1])[0],
        quality=chance.choices(range(len(QUALITIES)), [7, 2, 1])[0],
        abnormal=chance.random() < 0.15,
    )


def case_ids(categories: Sequence[str], images: int) -> dict[str, list[str]]:
    """Names the drawn cases of each category."""
    return {name: [f"{name}_{number:03d}" for number in range(1, images + 1)] for name in categories}


def label_questions(categories: Sequence[str], images: int) -> Mapping[str, Mapping[str, int]]:
    """Counts the questions of each drawn case by category, as an adapter does for its files."""
    return {name: dict.fromkeys(cases, 8) for name, cases in case_ids(categories, images).items()}
