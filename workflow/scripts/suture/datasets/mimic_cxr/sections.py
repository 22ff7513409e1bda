"""Sections of a free-text report: findings and impression, where MGCA finds them.

The rules are those of MIT-LCP/mimic-cxr, which MGCA's preprocessing uses
(HKU-MedAI/MGCA, mgca/preprocess/utils.py): a header is a line that begins with
one blank, capitals and a colon; names are brought to one spelling; of sections
with one name the last counts. Its 54 lists of single studies are not among
them: MGCA leaves those studies out of its table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

IMPRESSION, FINDINGS, LAST_PARAGRAPH = "impression", "findings", "last_paragraph"

_HEADER = re.compile(r"\n ([A-Z ()/,-]+):\s")

_SPELLINGS = {
    "impression": (
        *("conclusion", "findings and impression", "findings/impression", "findings/ impression", "ndication"),
        *("impresson", "imprression", "imoression", "impressoin", "imprssion", "impresion", "imperssion", "mpression"),
        "impession",
    ),
    "findings": (
        *("chest, two views", "finding", "findins", "findindgs", "findgings", "findngs", "findnings", "finidngs"),
        "reference findings",
    ),
    "comparison": (
        *("comparisons", "reference exam", "comparison exam", "comparison film", "comparision", "comparsion"),
        *("comparrison", "comparisions"),
    ),
    "history": ("clinical history", "clinical information", "patient history", "pfi"),
    "indication": ("reason for examination", "reason for exam", "clinical indication", "idication"),
    "examination": ("exam", "type of examination"),
    "recommendations": ("recommendation(s)", "recommendation"),
    "wet read": ("wetread",),
    **dict.fromkeys(("preamble", "technique", "notification", "addendum", "date", "comment"), ()),
}
"""Section names, each with the spellings that mean it. ``ndication`` stands with impression in the source too."""

_OF_SPELLING = {spelling: name for name, others in _SPELLINGS.items() for spelling in (name, *others)}

_CONTAINED = ("impression", "findings", "history", "comparison", "addendum")
_VIEWS = re.compile(
    "chest|portable|pa and lateral|lateral and pa|ap and lateral|lateral and ap|frontal and|two views|frontal view|"
    "pa view|ap view|one view|lateral view|bone window|frontal upright|frontal semi-upright|ribs|pa and lat"
)
"""A header that only says what was taken, followed by what was seen."""


def sections(report: str) -> dict[str, str]:
    """Divides a report: its text by section name, the last of each name, stripped.

    A report without findings and impression has a ``last_paragraph`` where one
    stands apart; a report without any header is one section, ``full report``.
    """
    # Empty ones go: a title such as CHEST, PA AND LATERAL: reads like findings.
    found = [(name, text) for name, text in _divided(report) if text.strip() or name not in (IMPRESSION, FINDINGS)]
    if found and not {IMPRESSION, FINDINGS} & {name for name, _ in found}:
        name, text = found[-1]
        first, apart, rest = text.partition("\n \n")
        if apart:
            found[-1:] = [(name, first), (LAST_PARAGRAPH, rest)]
    return {name: text.strip() for name, text in found}


def _divided(report: str) -> Iterator[tuple[str, str]]:
    header = _HEADER.search(report)
    if header is None:
        yield "full report", report
        return
    yield "preamble", report[: header.start(1)]
    while header:
        start = header.end()
        # Two headers in one line are one: the next is looked for behind the first line's end.
        following = _HEADER.search(report, start + max(0, report[start:].find("\n")))
        yield canonical(header[1]), report[start : following.start() if following else len(report)]
        header = following


def canonical(header: str) -> str:
    """Brings a section's name to one spelling."""
    name = header.lower().strip()
    if name in _OF_SPELLING:
        return _OF_SPELLING[name]
    contained = next((one for one in _CONTAINED if one in name), None)
    if contained:
        return contained
    return FINDINGS if _VIEWS.search(name) else name
