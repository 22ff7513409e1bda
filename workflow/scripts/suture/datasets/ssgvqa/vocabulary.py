"""What SSG-VQA's authors fixed: labels in their order, videos of each split (CAMMA-public/SSG-VQA, train.py)."""

from __future__ import annotations

LABELS = (
    "0",
    "1",
    "10",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "False",
    "True",
    "abdominal_wall_cavity",
    "adhesion",
    "anatomy",
    "aspirate",
    "bipolar",
    "blood_vessel",
    "blue",
    "brown",
    "clip",
    "clipper",
    "coagulate",
    "cut",
    "cystic_artery",
    "cystic_duct",
    "cystic_pedicle",
    "cystic_plate",
    "dissect",
    "fluid",
    "gallbladder",
    "grasp",
    "grasper",
    "gut",
    "hook",
    "instrument",
    "irrigate",
    "irrigator",
    "liver",
    "omentum",
    "pack",
    "peritoneum",
    "red",
    "retract",
    "scissors",
    "silver",
    "specimen_bag",
    "specimenbag",
    "white",
    "yellow",
)
"""All answers, in the order of the class numbers. Two of them are one thing in two spellings, as published."""


def _videos(numbers: str) -> tuple[str, ...]:
    return tuple(f"VID{number}" for number in numbers.split())


SPLIT = {
    "train": _videos(
        "04 05 06 08 10 12 13 14 15 23 25 26 27 29 32 36 40 42 47 49 50 51 52 56 57 62 65 66 68 70 73 75 78 79 80"
    ),
    "val": _videos("01 18 31 35 48"),
    "test": _videos("02 22 43 60 74"),
}

COMPLEXITIES = ("zero_hop", "one_hop", "single_and")
"""Of a question: steps through the scene graph, as the third field names them with ``.json`` behind."""

TYPES = {
    "exist": ("exist",),
    "count": ("count",),
    "query_component": ("query_object",),
    "query_color": ("query_attribute", "query_color"),
    "query_type": ("query_attribute", "query_type"),
    "query_location": ("query_attribute", "query_location"),
}
"""Type of a question to the groups that its authors report it in (Query Object, Query Attribute, ...)."""

GENERAL = "general"
"""Questions without a type: lines of two or three fields."""
