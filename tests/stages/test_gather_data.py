"""gather_data.py: shards become the run's manifests; too much that is unusable stops the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import make_clip, run_script
from suture import files, gathering, records
from suture.errors import InputError
from suture.records import Clip, Rejection, Sample, Turn


def clip(case: str, number: int, phase: str = "Incision") -> Clip:
    name = f"{case}_{phase}_{number}.00_{number + 5}.00"
    return make_clip(id=name, case=case, phase=phase, start_s=float(number), end_s=number + 5.0)


def sample(one: Clip) -> Sample:
    turns = (
        Turn(question="Which phase is it?", answer=one.phase, kind="phase"),
        Turn(question="Which instruments?", answer="none", kind="instruments"),
    )
    return Sample(id=one.id, case=one.case, clip=one.id, phase=one.phase, turns=turns)


def rejection(stage: str, reason: str, case: str, where: str = "") -> Rejection:
    return Rejection(stage=stage, reason=reason, case=case, where=where or f"{case}.mp4, row 2", detail=f"why {case}")


class Shards:
    """Two shards' manifests, and the command that gathers them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clips = {"0": [clip("b", 5), clip("b", 0)], "1": [clip("a", 0), clip("a", 5, "idle")]}
        self.rejected: dict[str, list[Rejection]] = {"0": [], "1": []}
        self.outputs = {name: folder / "out" / name for name in ("clips", "objects", "samples", "qa", "rejected")}

    def run(self, *more: object, objects: bool = True, code: int = 0) -> str:
        inputs: dict[str, list[Path]] = {"clips": [], "samples": [], "objects": [], "rejected": []}
        for shard, clips in self.clips.items():
            for name, paths in inputs.items():
                paths.append(self.folder / f"{name}-{shard}.json")
            records.write(inputs["clips"][-1], clips)
            records.write(inputs["samples"][-1], [sample(one) for one in clips])
            case = {one.case: {"5": {"image": "x"}, "10": {"image": "y"}} for one in clips}
            files.write_json(inputs["objects"][-1], case, sort_keys=False)
            records.write(inputs["rejected"][-1], self.rejected[shard])
        if not objects:
            inputs["objects"] = []
        given = [word for name, paths in inputs.items() for word in (f"--{name}", *paths)]
        written = [word for name, path in self.outputs.items() for word in (f"--output-{name}", path)]
        return run_script("gather_data", *given, *written, *more, code=code)


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(tmp_path)


def test_manifests_are_merged_and_sorted_and_idle_is_no_published_question(shards: Shards) -> None:
    assert "4 clips, 4 samples with 8 questions, 0 left out" in shards.run()
    ids = ["a_Incision_0.00_5.00", "a_idle_5.00_10.00", "b_Incision_0.00_5.00", "b_Incision_5.00_10.00"]
    assert [one.id for one in records.read(shards.outputs["clips"], Clip)] == ids
    assert [one.id for one in records.read(shards.outputs["samples"], Sample)] == ids
    objects = files.read_json(shards.outputs["objects"])
    assert list(objects) == ["a", "b"]
    assert list(objects["a"]) == ["5", "10"]
    published = files.read_json(shards.outputs["qa"])
    assert [entry[0]["video_filename"] for entry in published] == [f"{one}.mp4" for one in ids if "idle" not in one]
    assert published[0][1] == {"question1": "Which phase is it?", "answer1": "Incision"}
    assert len(published[0]) == 3
    assert json.loads(shards.outputs["rejected"].read_text()) == {
        "counts": {},
        "share": {"media": 0.0, "clips": 0.0, "samples": 0.0},
        "rows": [],
    }
    before = {name: path.read_bytes() for name, path in shards.outputs.items()}
    shards.clips = {"1": shards.clips["1"], "0": shards.clips["0"][::-1]}
    shards.run()
    assert {name: path.read_bytes() for name, path in shards.outputs.items()} == before


def test_objects_may_be_absent(shards: Shards) -> None:
    shards.run(objects=False)
    assert files.read_json(shards.outputs["objects"]) == {}


def test_too_many_unusable_media_stop_the_run_with_the_first_rows(shards: Shards) -> None:
    shards.rejected["0"] = [
        rejection("cut", "media_empty", "c", "c, 1.mp4, annotation row 2"),
        *(rejection("cut", "phase_too_short", "a", f"a.mp4, annotation row {n}") for n in range(20)),
    ]
    said = shards.run("--max-rejected", "0.3", code=2)
    assert "1 of 3 media files cannot be used (33.3%, the cap is 30.0%): media_empty 1" in said
    assert "[c] c, 1.mp4, annotation row 2: why c" in said
    assert not shards.outputs["clips"].exists()
    shards.run("--max-rejected", "0.34")
    found = files.read_json(shards.outputs["rejected"])
    assert found["counts"] == {"cut": {"phase_too_short": 20, "media_empty": 1}}
    assert found["share"] == {"media": pytest.approx(1 / 3, abs=1e-6), "clips": 0.2, "samples": 0.0}
    assert len(found["rows"]) == 21


def test_a_media_file_counts_once_and_not_for_a_stretch_beyond_its_end(shards: Shards) -> None:
    def of(reason: str, row: int) -> Rejection:
        return rejection("cut", reason, "b", f"b.mp4, annotation row {row}")

    clips = [*shards.clips["0"], *shards.clips["1"]]
    beyond = gathering.shares(clips, [], [of("past_end", row) for row in range(4)])
    assert {name: (one.unusable, one.total) for name, one in beyond.items()} == {
        "media": (0, 2),
        "clips": (4, 8),
        "samples": (0, 0),
    }
    cut_off = gathering.shares(clips, [], [of("truncated", row) for row in range(4)])
    assert (cut_off["media"].unusable, cut_off["media"].total) == (1, 2)


def test_too_many_unusable_samples_stop_the_run_and_ordinary_reasons_do_not_count(shards: Shards) -> None:
    shards.rejected["0"] = [rejection("generate_qa", "no_objects", "b", f"clip {n}") for n in range(50)]
    shards.rejected["1"] = [rejection("annotations", "reversed_segment", "a", f"my.csv:{n}") for n in range(2)]
    # Cutting and ingest both report what the adapter left out: it counts once.
    shards.rejected["0"] += shards.rejected["1"]
    said = shards.run("--max-rejected", "0.3", code=2)
    assert "2 of 6 samples cannot be used (33.3%, the cap is 30.0%): reversed_segment 2" in said
    shards.run("--max-rejected", "0.34")


def test_what_belongs_to_two_shards_or_to_no_clip_is_refused(shards: Shards, tmp_path: Path) -> None:
    shards.clips["1"].append(shards.clips["0"][0])
    said = shards.run(code=2)
    assert "clip 'b_Incision_5.00_10.00' occurs twice" in said
    with pytest.raises(InputError, match=r"its clip 'a_Incision_0.00_5.00' is not in the clips"):
        gathering.check_clips([sample(clip("a", 0))], [])
    files.write_json(tmp_path / "x.json", {"a": {}})
    with pytest.raises(InputError, match="case 'a' occurs twice"):
        gathering.gather_objects([tmp_path / "x.json", tmp_path / "x.json"])


def test_no_samples_at_all_is_an_error(shards: Shards) -> None:
    shards.clips = {"0": [], "1": []}
    assert "no samples at all: 0 clips" in shards.run(code=2)


def test_a_case_whose_annotation_cannot_be_read_counts_against_the_cap_and_is_named(shards: Shards) -> None:
    # Cutting, describing and ingest all report it.
    bad = Rejection(
        stage="annotations",
        reason="annotation_unreadable",
        case="c",
        where="c/c_phases.csv:2",
        detail="c/c_phases.csv:2: unknown phase 'Incison'",
    )
    shards.rejected = {"0": [bad], "1": [bad]}
    said = shards.run("--max-rejected", "0.3", code=2)
    assert "1 of 3 media files cannot be used (33.3%, the cap is 30.0%): annotation_unreadable 1" in said
    assert "[c] c/c_phases.csv:2: unknown phase 'Incison'" in said
    shards.run("--max-rejected", "0.34")
    found = files.read_json(shards.outputs["rejected"])
    assert found["share"] == {"media": pytest.approx(1 / 3, abs=1e-6), "clips": 0.2, "samples": 0.0}


def test_the_cap_names_each_media_file_once(shards: Shards) -> None:
    of_c = [rejection("cut", "truncated", "c", f"c.mp4, annotation row {n}") for n in range(9)]
    shards.rejected["0"] = [*of_c, rejection("cut", "media_missing", "d", "d.mp4, annotation row 2")]
    said = shards.run(code=2)
    assert said.count("c.mp4") == 1
    assert said.count("d.mp4") == 1
