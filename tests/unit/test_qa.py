"""Facts, their wording, and the published question layout."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from support import make_clip
from suture import registry
from suture.datasets import cataract1k as adapter
from suture.errors import ConfigError, InputError
from suture.qa import facts, published, samples, scenes, spatial
from suture.qa.base import Facts, Relations
from suture.qa.names import ObjectNames
from suture.qa.template import WORDINGS, Template, parse_answer, phase_answer, set_answer, spatial_answer
from suture.records import Sample, Turn, shard_of

NAMES = ObjectNames(adapter.OBJECT_KINDS, adapter.REFERENCES)
PUPIL = ("Pupil", (0.4, 0.4, 0.2, 0.2))
CORNEA = ("Cornea", (0.3, 0.3, 0.4, 0.4))
RIGHT = ("Gauge", (0.7, 0.45, 0.2, 0.1))
LEFT = ("Gauge", (0.1, 0.45, 0.2, 0.1))


def scene(
    name: str | None, *objects: tuple[str, scenes.Box], time_s: float = 1, case: str = "case_1", phase: str = "Incision"
) -> scenes.ClipScene:
    return scenes.ClipScene(case, time_s, phase, name, f"{case}_{time_s:g}.png", objects)


# --- answers read back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["anatomy", "instruments"])
def test_every_set_of_names_is_read_back_and_no_two_answers_are_alike(kind: str) -> None:
    table = NAMES.in_order(kind, NAMES.kinds)
    seen = {}
    for size in range(len(table) + 1):
        for found in itertools.combinations(table, size):
            text = set_answer(kind, NAMES.in_order(kind, reversed(found)))
            assert parse_answer(kind, text, NAMES) == frozenset(found)
            seen[text] = found
    assert len(seen) == 2 ** len(table)


@pytest.mark.parametrize(
    "name", ["Irrigation/Aspiration", "Lens Implantation", "idle", "a phase.", "The current phase is x"]
)
def test_every_phase_name_is_read_back(name: str) -> None:
    assert parse_answer("phase", phase_answer(name), NAMES) == name


def test_answers_read_as_sentences() -> None:
    assert phase_answer("Phacoemulsification") == "The current phase is Phacoemulsification."
    assert set_answer("instruments", []) == "No surgical instrument is visible."
    assert set_answer("instruments", ["Spatula"]) == "The visible surgical instrument is the Spatula."
    assert (
        set_answer("anatomy", NAMES.in_order("anatomy", {"Lens", "Pupil", "Cornea"}))
        == "The visible anatomical structures are the Cornea, the Pupil and the Lens."
    )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("phase", "The phase is Incision."),
        ("phase", "The current phase is ."),
        ("anatomy", "The visible anatomical structures are the Pupil and the Cornea."),  # not in table order
        ("anatomy", "The visible anatomical structure is the Iris."),
        ("instruments", "The visible surgical instrument is the Pupil."),
        ("instruments", "No anatomical structure is visible."),
        ("spatial", "In the image, the Gauge is near the Pupil."),
        ("colour", "red"),
    ],
)
def test_what_the_template_never_writes_is_refused(kind: str, text: str) -> None:
    with pytest.raises(InputError):
        parse_answer(kind, text, NAMES)


def test_unknown_objects_are_named() -> None:
    with pytest.raises(InputError, match="unknown object 'Iriss'"):
        NAMES.in_order("anatomy", ["Iriss"])
    with pytest.raises(InputError, match="did you mean 'Spatula'"):
        NAMES.kind_of("Spatulla")
    with pytest.raises(InputError, match="unknown object 'Pupil'") as caught:
        ObjectNames.of(registry.dataset("table")).kind_of("Pupil")
    assert "OBJECT_KINDS" in str(caught.value.fix)
    with pytest.raises(InputError, match="phase name"):
        phase_answer(" Incision\n")


def test_every_object_of_cataract1k_has_a_kind() -> None:
    assert list(adapter.OBJECT_KINDS) == list(adapter.OBJECTS)
    assert {NAMES.kinds[name] for name in NAMES.references} == {"anatomy"}


# --- facts -----------------------------------------------------------------------------------------------------------


def test_several_scenes_in_one_clip_give_the_union_of_their_objects() -> None:
    found, rejected = facts.gather(
        [make_clip(id="a")], [scene("a", PUPIL, RIGHT), scene("a", CORNEA, PUPIL, time_s=4)], NAMES
    )
    assert rejected == []
    assert [(one.anatomy, one.instruments) for one in found] == [(("Cornea", "Pupil"), ("Gauge",))]


def test_what_is_left_out_is_counted_by_reason() -> None:
    clips = [
        make_clip(id="a"),
        make_clip(id="b"),
        make_clip(id="i", phase="idle"),
        make_clip(id="c", phase="Viscoelastic"),
    ]
    all_scenes = [
        scene("a", PUPIL),
        scene(None, PUPIL, time_s=2),
        scene("gone", PUPIL, time_s=3),
        scene("c", PUPIL, time_s=4),
        scene("i", PUPIL, time_s=5, phase="idle"),
        scene(None, PUPIL, time_s=6, phase="idle"),
        scene("a", PUPIL, time_s=7, case="case_2"),
    ]
    found, rejected = facts.gather(clips, all_scenes, NAMES)
    assert [one.clip for one in found] == ["a"]
    assert [(one.reason, one.where) for one in rejected] == [
        ("no_clip", "case_1, case_1_2.png at 2 s"),
        ("no_clip", "case_1, case_1_3.png at 3 s"),
        ("no_objects", "clip b"),
        ("no_objects", "clip c"),
        ("phase_disagrees", "case_1, case_1_4.png at 4 s"),
        ("no_clip", "case_2, case_2_7.png at 7 s"),
    ]
    assert "Viscoelastic" in rejected[4].detail
    found, rejected = facts.gather(clips, all_scenes, NAMES, idle=True)
    assert [(one.clip, one.phase) for one in found] == [("a", "Incision"), ("i", "idle")]
    assert "case_1, case_1_6.png at 6 s" in [one.where for one in rejected]


# --- spatial ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("centre", "said"),
    [
        ((0.5, 0.5), "at the centre of"),
        ((0.54, 0.46), "at the centre of"),
        ((0.56, 0.5), "to the right of"),
        ((0.2, 0.5), "to the left of"),
        ((0.5, 0.1), "above"),
        ((0.5, 0.9), "below"),
        ((0.9, 0.1), "above and to the right of"),
        ((0.1, 0.9), "below and to the left of"),
    ],
)
def test_directions_are_those_a_viewer_sees(centre: tuple[float, float], said: str) -> None:
    box = (centre[0] - 0.05, centre[1] - 0.02, 0.1, 0.04)
    assert spatial.direction(box, PUPIL[1]) == said


def test_a_relation_is_stated_only_where_all_scenes_agree() -> None:
    assert spatial.relations([scene("a", PUPIL, RIGHT), scene("a", PUPIL, RIGHT)], NAMES) == Relations(
        reference="Pupil", directions=(("Gauge", "to the right of"),)
    )
    assert spatial.relations([scene("a", PUPIL, RIGHT), scene("a", PUPIL, LEFT)], NAMES) == spatial.AMBIGUOUS
    assert spatial.relations([scene("a", PUPIL, RIGHT, LEFT)], NAMES) == spatial.AMBIGUOUS
    assert spatial.relations([scene("a", RIGHT)], NAMES) == spatial.NO_REFERENCE
    by_cornea = spatial.relations([scene("a", PUPIL, CORNEA, RIGHT), scene("a", CORNEA, RIGHT)], NAMES)
    assert isinstance(by_cornea, Relations)
    assert by_cornea.reference == "Cornea"
    # A scene without instruments says nothing about where they are.
    assert spatial.relations([scene("a", CORNEA), scene("a", PUPIL, RIGHT)], NAMES) == Relations(
        reference="Pupil", directions=(("Gauge", "to the right of"),)
    )


def test_an_unsettled_relation_costs_the_spatial_question_only() -> None:
    found, rejected = facts.gather([make_clip(id="a")], [scene("a", PUPIL, RIGHT, LEFT)], NAMES, with_relations=True)
    turns = Template(["phase", "spatial"]).write(found[0])
    assert [turn.kind for turn in turns] == ["phase"]
    assert [one.reason for one in rejected] == ["spatial_ambiguous"]


def test_spatial_answers_are_read_back() -> None:
    relations = Relations(reference="Pupil", directions=(("Gauge", "above"), ("Spatula", "at the centre of")))
    text = spatial_answer(relations)
    assert text == "In the image, the Gauge is above the Pupil; the Spatula is at the centre of the Pupil."
    assert parse_answer("spatial", text, NAMES) == {
        "the Gauge is above the Pupil",
        "the Spatula is at the centre of the Pupil",
    }
    assert parse_answer("spatial", spatial_answer(Relations(reference="Pupil", directions=())), NAMES) == frozenset()


# --- template --------------------------------------------------------------------------------------------------------

FACTS = Facts(clip="a", case="case_1", phase="Incision", anatomy=("Cornea",), instruments=())


def test_kinds_come_in_the_published_order_with_one_fixed_wording() -> None:
    turns = Template(["instruments", "phase", "anatomy"]).write(FACTS)
    assert [turn.kind for turn in turns] == ["phase", "anatomy", "instruments"]
    assert [turn.question for turn in turns] == [WORDINGS[kind][0] for kind in ("phase", "anatomy", "instruments")]
    assert turns[2].answer == "No surgical instrument is visible."


def test_wordings_vary_with_the_clip_and_are_all_used() -> None:
    writer = Template(["phase"], wordings=4)
    asked = [
        writer.write(Facts(clip=f"clip {n}", case="c", phase="Incision", anatomy=(), instruments=()))[0].question
        for n in range(200)
    ]
    assert {asked.count(question) > 25 for question in WORDINGS["phase"]} == {True}
    # Settled for good: the sha256 of "42/clip 0/phase" and so on, modulo 4.
    assert [WORDINGS["phase"].index(question) for question in asked[:8]] == [2, 3, 2, 0, 2, 2, 0, 3]


def test_more_wordings_than_there_are_and_unknown_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match="there are 4"):
        Template(wordings=5)
    with pytest.raises(ConfigError, match="colour"):
        Template(["colour"])


# --- published layout ------------------------------------------------------------------------------------------------


def written(kinds: tuple[str, ...], name: str = "case_1_Incision_22.50_25.34") -> Sample:
    turns = tuple(Turn(question=f"{kind}?", answer=f"{kind}.", kind=kind) for kind in kinds)
    return Sample(id=name, case="case_1", clip=name, phase="Incision", turns=turns, origin="llm")


def test_the_layout_is_the_published_one() -> None:
    assert published.to_entries([written(("phase", "anatomy", "instruments"))]) == [
        [
            {"video_filename": "case_1_Incision_22.50_25.34.mp4"},
            {"question1": "phase?", "answer1": "phase."},
            {"question2": "anatomy?", "answer2": "anatomy."},
            {"question3": "instruments?", "answer3": "instruments."},
        ]
    ]


@pytest.mark.parametrize(
    "kinds",
    [("phase", "anatomy", "instruments", "spatial"), ("phase", "instruments"), ("tool", "phase"), ("phase", "phase")],
)
def test_samples_survive_the_published_layout(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    sample = written(kinds)
    published.write(tmp_path / "qa.json", [sample])
    entries = published.read(tmp_path / "qa.json")
    assert published.to_samples(entries, [make_clip(id=sample.clip)]) == ([sample], [])


def read_entries(tmp_path: Path, *entries: object) -> list[published.Entry]:
    (tmp_path / "qa.json").write_text("\ufeff" + json.dumps(entries), encoding="utf-8")
    return published.read(tmp_path / "qa.json")


PAIR = {"question1": "q", "answer1": "a"}


def test_existing_entries_become_samples_or_counted_rejections(tmp_path: Path) -> None:
    other = {"question1": "q", "answer1": "another answer"}
    entries = read_entries(
        tmp_path,
        [{"video_filename": "x_1.00_2.50.mp4"}, PAIR],
        [{"video_filename": "x_1.00_2.50"}, PAIR],
        [{"video_filename": "x_1.00_2.50.mp4"}, other],
        [{"video_filename": "case_1_lost_2.00_3.00.mp4"}, PAIR],
        [{"video_filename": "elsewhere_2.00_3.00.mp4"}, PAIR],
    )
    made, rejected = published.to_samples(entries, [make_clip(id="x_1.00_2.50")])
    assert [(one.id, one.clip, one.turns[0].answer) for one in made] == [
        ("x_1.00_2.50", "x_1.00_2.50", "a"),
        ("x_1.00_2.50~2", "x_1.00_2.50", "another answer"),
    ]
    assert [(one.reason, one.case, one.where) for one in rejected] == [
        ("repeated_entry", "case_1", "entry 2: x_1.00_2.50"),
        ("clip_missing", "case_1", "entry 4: case_1_lost_2.00_3.00"),
        ("clip_missing", "", "entry 5: elsewhere_2.00_3.00"),
    ]


def test_shards_take_every_entry_exactly_once(tmp_path: Path) -> None:
    cases = [f"case_{n}" for n in range(9)]
    entries = read_entries(
        tmp_path,
        *([{"video_filename": f"{case}_{what}.mp4"}, PAIR] for case in [*cases, "stranger"] for what in ("in", "out")),
    )
    clips = [make_clip(id=f"{case}_in", case=case) for case in cases]
    parts = [published.to_samples(entries, clips, shard=n, shards=3) for n in range(3)]
    whole = published.to_samples(entries, clips)
    assert sorted(one.id for made, _ in parts for one in made) == [one.id for one in whole[0]]
    assert sorted(one.where for _, left in parts for one in left) == sorted(one.where for one in whole[1])
    assert (len(whole[0]), len(whole[1])) == (9, 11)
    for number, (made, left) in enumerate(parts):
        assert {shard_of(one.case, 3) for one in made} <= {number}
        # Shards without cases have no job: strangers go with a case that has one.
        strangers = [one for one in left if "stranger" in one.where]
        assert len(strangers) == (2 if number == shard_of("case_0", 3) else 0)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"video_filename": "a.mp4"}, "not a list"),
        ([{"video_filename": "a.mp4"}], "at least one pair"),
        ([{"video": "a.mp4"}, PAIR], "no video_filename"),
        ([{"video_filename": "a.mp4"}, {"question1": "q"}], "not a question and its answer"),
        ([{"video_filename": "a.mp4"}, {"question1": "q", "answer2": "a"}], "question1 stands with answer2"),
        ([{"video_filename": "a.mp4"}, {"question1": "q", "answer1": None}], "answer 1 is None"),
        ([{"video_filename": "a.mp4"}, {"question1": " ", "answer1": "a"}], "question 1 is ' '"),
        ([{"video_filename": "a.mp4"}, {"question7": "q", "answer7": "a"}], "question7 has no kind"),
        ([{"video_filename": "a.mp4"}, {"question1": "q", "answer1": "a", "note": "n"}], "'note'"),
    ],
)
def test_a_malformed_entry_is_named_by_its_number(tmp_path: Path, entry: object, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        read_entries(tmp_path, [{"video_filename": "a.mp4"}, PAIR], entry)
    assert "entry 2" in str(caught.value)


# --- case_objects.json -----------------------------------------------------------------------------------------------


def row(**changes: object) -> dict[str, object]:
    thing = {
        "name": "Gauge",
        "published": "Gauge",
        "area": 9.0,
        "bbox": [1, 2, 3, 4],
        "bbox_norm": [0.1, 0.2, 0.3, 0.4],
    }
    good: dict[str, object] = {"phase": "Incision", "objects": [thing], "clip": "a", "image": "i.png"}
    return {**good, **changes}


def test_scenes_come_in_order_of_time(tmp_path: Path) -> None:
    (tmp_path / "o.json").write_text(
        json.dumps({"case_2": {"100": row(), "20": row(clip=None)}, "case_1": {"0": row()}})
    )
    found = scenes.read(tmp_path / "o.json", NAMES)
    assert [(one.case, one.time_s, one.clip) for one in found] == [
        ("case_1", 0, "a"),
        ("case_2", 20, None),
        ("case_2", 100, "a"),
    ]
    assert found[0].objects == (("Gauge", (0.1, 0.2, 0.3, 0.4)),)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ([], "not a table"),
        ({"case_1": {"0": {"phase": "Incision", "objects": [], "video_filename": None}}}, "'clip' is missing"),
        ({"case_1": {"soon": row()}}, "not a scene"),
        ({"case_1": {"nan": row()}}, "not a time"),
        ({"case_1": {"0": row(objects=[{"name": "Iris", "bbox_norm": [0, 0, 1, 1]}])}}, "unknown object 'Iris'"),
        ({"case_1": {"0": row(objects=[{"name": "Lens", "bbox_norm": [0, 0, 1]}])}}, "not a scene"),
        ({"case_1": {"0": row(objects=[{"name": "Lens", "bbox_norm": [0, 0, float("nan"), 1]}])}}, "not a box"),
    ],
)
def test_another_layout_is_refused_where_it_differs(tmp_path: Path, table: object, problem: str) -> None:
    (tmp_path / "o.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match=problem) as caught:
        scenes.read(tmp_path / "o.json", NAMES)
    assert "o.json" in str(caught.value)


def test_a_sample_holds_the_canonical_names_and_the_clip() -> None:
    made = samples.make([FACTS], Template())
    assert [(one.id, one.case, one.clip, one.phase, one.objects, one.origin) for one in made] == [
        ("a", "case_1", "a", "Incision", ("Cornea",), "template")
    ]
