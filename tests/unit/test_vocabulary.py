"""Which instruments and structures a sentence names: synonyms, plurals, longest names, what is denied."""

from __future__ import annotations

import pytest

from suture import registry, scoring
from suture.datasets.base import passed_over, synonyms
from suture.tasks import open_vqa
from suture.tasks.base import Context, Row
from suture.vocabulary import mentions

CATARACT = registry.dataset("cataract1k")
NAMES, OTHERS = synonyms(CATARACT), passed_over(CATARACT)


def affirmed(text: str) -> set[str]:
    return set(mentions(text, NAMES, OTHERS).affirmed)


def negated(text: str) -> set[str]:
    return set(mentions(text, NAMES, OTHERS).negated)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("The gauge is visible.", {"Gauge"}),
        ("A cannula enters the eye.", {"Gauge"}),
        ("The phaco tip is inside the pupil.", {"Phacoemulsification Tip", "Pupil"}),
        ("SPATULAS and gauges.", {"Spatula", "Gauge"}),
        ("Two slit knives.", {"Slit Knife"}),
        ("the slit-knife; the slit_knife", {"Slit Knife"}),
        ("I/A handpiece in use", {"Irrigation-Aspiration"}),
        ("irrigation/aspiration is inserted", {"Irrigation-Aspiration"}),
        ("corneae", {"Cornea"}),
        ("Katena forceps and capsulorhexis forceps", {"Katena Forceps", "Capsulorhexis Forceps"}),
        # Longest first: an injector of lenses is no lens.
        ("The lens injector is in the eye.", {"Lens Injector"}),
        ("The lens injector holds the intraocular lens.", {"Lens Injector", "Lens"}),
        # Whole words only, and phases are no objects.
        ("Gauged by the pupillary reflex.", set()),
        ("The phase is Lens Implantation.", set()),
        ("The phase is irrigation/aspiration.", set()),
        ("", set()),
    ],
)
def test_names_are_found_by_their_synonyms_and_plurals(text: str, named: set[str]) -> None:
    assert affirmed(text) == named
    assert negated(text) == set()


@pytest.mark.parametrize(
    ("text", "there", "absent"),
    [
        ("No instruments are visible.", set(), set()),
        ("No spatula is visible.", set(), {"Spatula"}),
        ("No spatula or gauge is visible, but the phaco tip is.", {"Phacoemulsification Tip"}, {"Spatula", "Gauge"}),
        ("The spatula and the gauge are not visible.", set(), {"Spatula", "Gauge"}),
        ("The gauge is visible. The spatula is absent.", {"Gauge"}, {"Spatula"}),
        ("There is a gauge without a spatula.", {"Gauge"}, {"Spatula"}),
        ("Neither the gauge nor the spatula can be seen.", set(), {"Gauge", "Spatula"}),
        ("Not only the gauge but also the spatula is in use.", {"Gauge", "Spatula"}, set()),
        ("The spatula isn't in view; the gauge is.", {"Gauge"}, {"Spatula"}),
        ("No doubt the spatula is there.", {"Spatula"}, set()),
        ("No instrument other than the gauge is visible.", {"Gauge"}, set()),
        ("Not visible: spatula, gauge.", set(), {"Spatula", "Gauge"}),
        ("The gauge is present. The gauge is absent.", {"Gauge"}, {"Gauge"}),
    ],
)
def test_what_is_denied_is_not_named(text: str, there: set[str], absent: set[str]) -> None:
    assert affirmed(text) == there
    assert negated(text) == absent


def test_every_object_of_the_dataset_is_found_by_its_own_name_alone() -> None:
    for name in NAMES:
        assert affirmed(f"The {name} is visible.") == {name}
        assert affirmed(f"the {name.lower()}s") == {name} or name.endswith("s")


CONTEXT = Context(
    objects={kind: frozenset(synonyms(CATARACT, kind)) for kind in ("anatomy", "instruments")},
    synonyms=NAMES,
    passed_over=OTHERS,
    phases=tuple(CATARACT.PHASES),
)


def scored(*rows: Row) -> dict:
    units = scoring.number_units(rows)
    return scoring.entry(
        open_vqa, units, split="test", leaky=False, baselines={}, not_computed={}, context=CONTEXT, resamples=100
    )


def row(answer: str, prediction: str, kind: str = "instruments", **more: str) -> Row:
    number = f"{answer}|{prediction}"
    return Row(id=number, turn=0, case=number, answer=answer, prediction=prediction, kind=kind, **more)


def test_sets_of_names_are_compared_question_by_question() -> None:
    rows = [
        # Named: gauge right, spatula not found: precision 1, recall 1/2, F1 2/3.
        row("The gauge and the spatula are visible.", "I see a cannula."),
        # One of two right, one of one found: 1/2, 1, 2/3.
        row("The gauge is visible.", "The gauge and the phaco probe."),
        # Nothing to name and nothing named: 1, 1, 1.
        row("No instruments are visible.", "none"),
        # A denied name is none: precision and recall 0.
        row("The gauge is visible.", "The gauge is not visible."),
        # Named where there is none: precision 0, recall 0, F1 0.
        row("No instruments are visible.", "The spatula."),
    ]
    found = scored(*rows)["metrics"]
    assert found["set_f1@instruments"]["value"] == pytest.approx((2 / 3 + 2 / 3 + 1 + 0 + 0) / 5)
    assert found["set_precision@instruments"]["value"] == pytest.approx((1 + 1 / 2 + 1 + 0 + 0) / 5)
    assert found["set_recall@instruments"]["value"] == pytest.approx((1 / 2 + 1 + 1 + 0 + 0) / 5)
    assert found["set_f1@instruments"]["n"] == 5


def test_names_of_another_kind_do_not_count() -> None:
    found = scored(row("The pupil is visible.", "The pupil, beside the gauge.", kind="anatomy"))["metrics"]
    assert found["set_f1@anatomy"]["value"] == 1.0


def test_without_the_datasets_names_sets_are_listed_as_not_computed() -> None:
    units = scoring.number_units([row("The gauge.", "The gauge.")])
    entry = scoring.entry(open_vqa, units, split="test", leaky=False, baselines={}, not_computed={}, resamples=100)
    assert "--adapter" in entry["not_computed"]["set_f1@instruments"]
    assert "set_f1@instruments" not in entry["metrics"]


def test_the_phase_is_the_one_that_an_answer_names() -> None:
    rows = [
        row("The phase is Incision.", "It is the incision phase.", "phase", phase="Incision"),
        row("The phase is Viscoelastic.", "Viscoelastic suction", "phase", phase="Viscoelastic"),
        row("The phase is Hydrodissection.", "Incision or hydrodissection?", "phase", phase="Hydrodissection"),
    ]
    entry = scored(*rows)
    # Incision: F1 1. Viscoelastic: given Viscoelastic Suction. Hydrodissection: two named, so none.
    assert entry["metrics"]["phase_f1_macro"]["value"] == pytest.approx(1 / 3)
    assert entry["tables"]["confusion"]["gold"] == ["Hydrodissection", "Incision", "Viscoelastic"]
    assert "(none of them)" in entry["tables"]["confusion"]["predicted"]
