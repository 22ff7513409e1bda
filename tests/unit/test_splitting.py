"""Splits by case, fold and clip; balancing; the overlap gate; fixed lists."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from support import make_clip
from suture import overlap, split_lists, splitting
from suture.dealing import deal
from suture.errors import ConfigError, InputError
from suture.records import Clip, Sample

PHASES = ("Incision", "Viscoelastic", "Viscoelastic Suction", "Lens Positioning")


def clip(case: str, number: int = 0, **changes: str) -> Clip:
    return make_clip(id=f"{case}_{number}", case=case, **changes)


def make_sample(case: str, number: int, phase: str) -> Sample:
    return Sample(id=f"{case}_{number}", case=case, clip=f"{case}_{number}", phase=phase, turns=())


def population(cases: int, *, seed: int = 7) -> list[Sample]:
    """Cases of different size and mixture of phases; only some have the rare last phase."""
    rng = random.Random(seed)
    return [
        make_sample(f"case_{case:02}", number, phase)
        for case in range(cases)
        for number, phase in enumerate(rng.choices(PHASES, (6, 3, 2, 0 if case % 3 else 1), k=rng.randint(20, 60)))
    ]


def alone(samples: list[Sample]) -> dict[str, str]:
    return {sample.case: sample.case for sample in samples}


def phases_of(samples: list[Sample], split_of: dict[str, str], split: str) -> Counter[str]:
    return Counter(sample.phase for sample in samples if split_of[sample.case] == split)


# --- by case ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_phases_of_each_split_are_near_their_share(seed: int) -> None:
    samples = population(40)
    split_of = splitting.by_case(samples, alone(samples), (0.8, 0.1, 0.1), seed)
    total = Counter(sample.phase for sample in samples)
    for split, share in zip(splitting.SPLITS, (0.8, 0.1, 0.1), strict=True):
        found = phases_of(samples, split_of, split)
        for phase in PHASES[:3]:
            assert found[phase] == pytest.approx(share * total[phase], rel=0.25), (split, phase)
        assert found[PHASES[3]] > 0


def test_stratifying_beats_a_draw_without_it() -> None:
    samples = population(40)
    total = Counter(sample.phase for sample in samples)

    def distance(split_of: dict[str, str]) -> float:
        return sum(
            (phases_of(samples, split_of, split)[phase] - share * n) ** 2 / (share * n)
            for split, share in zip(splitting.SPLITS, (0.8, 0.1, 0.1), strict=True)
            for phase, n in total.items()
        )

    cases = sorted(alone(samples))
    drawn = []
    for seed in range(20):
        random.Random(seed).shuffle(cases)
        drawn.append(distance({c: "train" if i < 32 else "val" if i < 36 else "test" for i, c in enumerate(cases)}))
    ours = distance(splitting.by_case(samples, alone(samples), (0.8, 0.1, 0.1), 42))
    assert ours < min(drawn)


def test_order_of_samples_plays_no_part_and_the_seed_does() -> None:
    samples = population(30)
    shuffled = random.Random(1).sample(samples, len(samples))
    one = splitting.by_case(samples, alone(samples), (0.8, 0.1, 0.1), 42)
    assert splitting.by_case(shuffled, alone(samples), (0.8, 0.1, 0.1), 42) == one
    assert splitting.by_case(samples, alone(samples), (0.8, 0.1, 0.1), 43) != one


@pytest.mark.parametrize("cases", [3, 4, 6])
def test_every_split_gets_a_case_however_few_there_are(cases: int) -> None:
    samples = population(cases)
    split_of = splitting.by_case(samples, alone(samples), (0.8, 0.1, 0.1), 42)
    assert set(split_of.values()) == set(splitting.SPLITS)
    assert Counter(split_of.values())["train"] == cases - 2


def test_too_few_cases_are_refused_with_the_numbers() -> None:
    samples = population(2)
    with pytest.raises(ConfigError, match=r"2 .*3 splits.*0\.8 0\.1 0\.1"):
        splitting.by_case(samples, alone(samples), (0.8, 0.1, 0.1), 42)
    split_of = splitting.by_case(samples, alone(samples), (0.5, 0.5, 0.0), 42)
    assert sorted(split_of.values()) == ["train", "val"]


def test_cases_that_share_a_video_stay_together() -> None:
    samples = population(6)
    clips = [clip(f"case_{n:02}", source_sha256="one video" if n in (0, 3) else f"video {n}") for n in range(6)]
    clips += [clip("case_03", 1, sha256="one clip"), clip("case_05", 1, sha256="one clip")]
    groups = splitting.merge_cases(reversed(clips))
    assert groups["case_00"] == groups["case_03"] == groups["case_05"] == "case_00"
    assert groups["case_01"] == "case_01"
    for seed in range(10):
        split_of = splitting.by_case(samples, groups, (0.5, 0.25, 0.25), seed)
        assert split_of["case_00"] == split_of["case_03"] == split_of["case_05"]


def test_planned_clips_without_digests_merge_nothing() -> None:
    clips = [clip("case_1", sha256="", source_sha256=""), clip("case_2", sha256="", source_sha256="")]
    assert splitting.merge_cases(clips) == {"case_1": "case_1", "case_2": "case_2"}


# --- folds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folds", [2, 5])
def test_each_case_is_tested_in_exactly_one_fold(folds: int) -> None:
    samples = population(12)
    tested: Counter[str] = Counter()
    for fold in range(folds):
        split_of = splitting.by_fold(samples, alone(samples), folds, fold, (0.8, 0.1, 0.1), 42)
        assert set(split_of.values()) == set(splitting.SPLITS)
        tested.update(case for case, split in split_of.items() if split == "test")
    assert tested == Counter(alone(samples).keys())


def test_a_fold_that_does_not_exist_is_refused() -> None:
    samples = population(12)
    with pytest.raises(ConfigError, match="fold 5 of 5"):
        splitting.by_fold(samples, alone(samples), 5, 5, (0.8, 0.1, 0.1), 42)


def test_dealing_gives_nothing_to_a_share_of_zero() -> None:
    groups = {f"g{n}": Counter({"a": n + 1}) for n in range(8)}
    assert set(deal(groups, (0.5, 0.0, 0.5), 1).values()) == {0, 2}


# --- by clip ---------------------------------------------------------------------------------------------------------


def test_by_clip_gives_the_published_counts_and_keeps_a_clips_samples_together() -> None:
    # 1,647 published records give 1,482 and 165: surgery-sft's split_dataset.py on the real files.
    samples = [make_sample(f"case_{n % 27:02}", n, "Incision") for n in range(1647)]
    split_of = splitting.by_clip(samples, (0.9, 0.1, 0.0), 42)
    assert Counter(split_of.values()) == {"train": 1482, "val": 165}
    again = [*samples, Sample(id="again", case="case_00", clip="case_00_0", phase="Incision", turns=())]
    assert splitting.by_clip(list(reversed(again)), (0.9, 0.1, 0.0), 42) == split_of
    assert splitting.by_clip(samples, (0.9, 0.1, 0.0), 43) != split_of


def test_by_clip_refuses_a_split_without_clips() -> None:
    samples = [make_sample("case_1", n, "Incision") for n in range(5)]
    with pytest.raises(ConfigError, match="val split would be empty: 5 clips"):
        splitting.by_clip(samples, (0.9, 0.05, 0.05), 42)


# --- balancing -------------------------------------------------------------------------------------------------------


def test_balancing_tells_phases_apart_by_their_full_name() -> None:
    counts = {"Viscoelastic": 12, "Viscoelastic Suction": 4, "Lens Implantation": 5, "Lens Positioning": 7}
    train = [make_sample(f"{phase}", n, phase) for phase, total in counts.items() for n in range(total)]
    rows, added = splitting.balance(train)
    assert Counter(row.phase for row in rows) == {
        "Viscoelastic": 12,
        "Viscoelastic Suction": 12,
        "Lens Implantation": 10,
        "Lens Positioning": 7,
    }
    assert added == {"Lens Implantation": {"times": 2, "added": 5}, "Viscoelastic Suction": {"times": 3, "added": 8}}
    assert len({row.id for row in rows}) == len(rows)
    repeats = [row for row in rows if row.clip == "Viscoelastic Suction_0"]
    assert [row.id.removeprefix("Viscoelastic Suction_0") for row in repeats] == ["", "#2", "#3"]


# --- the gate --------------------------------------------------------------------------------------------------------


def test_the_gate_finds_cases_clips_and_media_on_two_sides() -> None:
    clips = {
        one.id: one
        for one in (
            clip("case_1"),
            clip("case_2", sha256="clip case_1_0"),
            clip("case_3", source_sha256="video case_1"),
            clip("case_4"),
            clip("case_4", 1),
        )
    }

    def between(left: tuple[str, int], right: tuple[str, int]) -> list[str]:
        sides = {"train": [make_sample(*left, "Incision")], "test": [make_sample(*right, "Incision")]}
        return [one.what for one in overlap.find(sides, clips)]

    assert between(("case_1", 0), ("case_4", 0)) == []
    assert between(("case_1", 0), ("case_2", 0)) == ["clip media"]
    assert between(("case_1", 0), ("case_3", 0)) == ["source media"]
    assert between(("case_4", 0), ("case_4", 1)) == ["case", "source media"]
    assert between(("case_4", 0), ("case_4", 0)) == ["case", "clip", "clip media", "source media"]


def test_planned_clips_without_digests_overlap_in_nothing() -> None:
    clips = {one.id: one for one in (clip(case, sha256="", source_sha256="") for case in ("case_1", "case_2"))}
    sides = {"train": [make_sample("case_1", 0, "Incision")], "test": [make_sample("case_2", 0, "Incision")]}
    assert overlap.find(sides, clips) == []


def test_the_gate_names_the_first_pairs_and_counts_the_rest() -> None:
    clips = {one.id: one for one in (clip("case_1", n) for n in range(2))}
    rows = [make_sample("case_1", n, "Incision") for n in range(2)]
    found = overlap.find({"train": rows, "val": rows, "test": []}, clips)
    with pytest.raises(InputError) as caught:
        overlap.check(found)
    text = str(caught.value)
    assert "6 overlaps" in text
    assert "case case_1: case_1_0 in train, case_1_0 in val" in text
    assert "and 1 more" in text
    overlap.check([])


# --- fixed lists -----------------------------------------------------------------------------------------------------


def test_a_list_is_kept_and_the_rest_is_dealt_to_the_other_splits() -> None:
    samples = population(10)
    fixed = {"case_01": "test", "case_07": "test"}
    split_of = splitting.by_case(samples, alone(samples), (0.8, 0.1, 0.1), 42, fixed)
    assert {case for case, split in split_of.items() if split == "test"} == set(fixed)
    assert Counter(split_of.values())["val"] >= 1


def test_a_case_merged_with_a_listed_one_follows_it() -> None:
    samples = population(8)
    groups = {**alone(samples), "case_03": "case_01"}
    for listed, other in (("case_01", "case_03"), ("case_03", "case_01")):
        split_of = splitting.by_case(samples, groups, (0.8, 0.1, 0.1), 42, {listed: "test"})
        assert split_of[other] == "test"


def test_cases_outside_complete_lists_and_lists_without_samples_are_refused() -> None:
    samples = population(4)
    full = {"case_00": "train", "case_01": "val", "case_02": "test"}
    with pytest.raises(InputError, match="1 cases are in no list: case_03"):
        splitting.by_case(samples, alone(samples), (0.8, 0.1, 0.1), 42, full)
    with pytest.raises(ConfigError, match="test split would be empty"):
        splitting.by_case(samples, alone(samples), (0.8, 0.1, 0.1), 42, {"case_99": "test"})


def test_lists_are_read_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "lists.csv"
    path.write_bytes("\ufeffCase ID;Split\r\ncase_1; Train\r\n\r\ncase_2;TEST\r\n".encode())
    assert split_lists.read(path) == {"case_1": "train", "case_2": "test"}
    assert split_lists.fixed(path, ["case_3"]) == {"case_1": "train", "case_2": "test", "case_3": "test"}
    with pytest.raises(ConfigError, match="case_1"):
        split_lists.fixed(path, ["case_1"])


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("case,split\ncase_1,dev\n", "split 'dev' is not known", ":2"),
        ("case,split\ncase_1,train\ncase_1,test\n", "case_1 is in train and in test", ":3"),
        ("case,split\n,train\n", "without a case", ":2"),
        ("case,split\n", "no cases listed", ""),
        ("case,fold\ncase_1,1\n", "column 'split' is missing", ":1"),
    ],
)
def test_a_bad_list_is_refused_by_line(tmp_path: Path, text: str, problem: str, line: str) -> None:
    path = tmp_path / "lists.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=problem) as caught:
        split_lists.read(path)
    assert f"lists.csv{line}" in str(caught.value)


def test_repeats_are_taken_out_again() -> None:
    train = [make_sample("case_1", n, "common" if n else "rare") for n in range(6)]
    repeated, _ = splitting.balance(train)
    assert len(repeated) == 10
    assert splitting.without_repeats(repeated) == train
