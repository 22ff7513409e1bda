"""Other names, in free text, of the objects that Cataract-1K annotates.

``Lens`` is the intraocular lens in the publisher's classes. Plurals, case and
hyphens need no entry: :mod:`suture.vocabulary` sees to them.
"""

from __future__ import annotations

SYNONYMS: dict[str, tuple[str, ...]] = {
    "Cornea": ("corneae",),
    "Pupil": ("pupillae",),
    "Lens": ("intraocular lens", "artificial lens", "crystalline lens", "lens implant", "IOL"),
    "Slit Knife": ("keratome", "slit blade"),
    "Incision Knife": ("incision blade", "paracentesis knife", "side port knife"),
    "Gauge": ("cannula", "gauge cannula", "gauge needle"),
    "Capsulorhexis Cystotome": ("cystotome", "cystitome", "rhexis cystotome", "capsulorrhexis cystotome"),
    "Capsulorhexis Forceps": (
        "rhexis forceps",
        "capsulorrhexis forceps",
        "utrata forceps",
        "capsulorhexis forcep",
        "rhexis forcep",
    ),
    "Katena Forceps": ("katena", "katena forcep"),
    "Spatula": (),
    "Phacoemulsification Tip": (
        "phaco tip",
        "phaco probe",
        "phaco handpiece",
        "phaco needle",
        "phacoemulsification probe",
        "phacoemulsification handpiece",
        "phacoemulsification needle",
    ),
    "Irrigation-Aspiration": (
        "I/A",
        "IA",
        "irrigation and aspiration",
        "irrigation/aspiration handpiece",
        "irrigation/aspiration probe",
        "irrigation/aspiration tip",
        "irrigation/aspiration cannula",
        "I/A handpiece",
        "I/A probe",
        "I/A tip",
        "I/A cannula",
    ),
    "Lens Injector": ("injector", "IOL injector", "intraocular lens injector", "cartridge", "lens cartridge"),
}
"""Canonical object name to its synonyms; every name of ``OBJECTS`` has an entry."""

PASSED_OVER: tuple[str, ...] = (
    "lens capsule",
    "lens implantation",
    "lens insertion",
    "lens positioning",
    "irrigation/aspiration phase",
    "irrigation/aspiration stage",
    "irrigation/aspiration step",
    "phase irrigation/aspiration",
    "phase is irrigation/aspiration",
    "phase of irrigation/aspiration",
)
"""Phrases that hold an object's name and mean a phase or a part of the eye that is not annotated."""
