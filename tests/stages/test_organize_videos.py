"""organize_videos.py as users run it, on real small video files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from support import make_clip, run_script
from suture import digest, exports, files, records
from suture.records import Sample, Turn
from suture.video.reading import read_frames
from video_files import all_frames, make_video

# Where each clip goes, and the wanted frames of its 20: only the last two files hold others than those.
CLIPS = {
    "case_1_a": ("train", 0, 20),
    "case_1_b": ("unlabelled", 0, 20),
    "case_2_a": ("val", 0, 20),
    "case_3_a": ("test", 6, 9),
    "case_3_b": ("train", 0, 15),
}
TURN = Turn(question="What is the current phase of the surgery?", answer="The current phase is Incision.", kind="phase")


class Run:
    """A run's folder as the steps before leave it, and the command run on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        clips = []
        for number, (name, (_, first, count)) in enumerate(CLIPS.items()):
            case = name.rsplit("_", 1)[0]
            path = make_video(root / "clips" / case / f"{name}.mp4", seconds=2, seed=number)
            clips.append(
                make_clip(
                    id=name,
                    case=case,
                    end_s=2,
                    first_frame=first,
                    n_frames=count,
                    fps=10,
                    width=96,
                    height=64,
                    sha256=files.sha256_file(path),
                    source_sha256="",
                )
            )
        records.write(root / "clips.jsonl", clips)
        for split in ("train", "val", "test"):
            names = [name for name, (where, _, _) in CLIPS.items() if where == split]
            self.write_split(split, names)
        files.write_json(root / "case_objects.json", {"case_1": {}})
        files.write_json(root / "qa_pairs_without_idle.json", [])
        for name in ("phase_annotations", "segment_annotations"):
            (root / "source" / "annotations" / name / "case_1").mkdir(parents=True)

    def write_split(self, split: str, names: list[str]) -> None:
        samples = [
            Sample(id=name, case=name.rsplit("_", 1)[0], clip=name, phase="Incision", turns=(TURN,)) for name in names
        ]
        records.write(self.root / "split" / f"{split}.jsonl", samples)

    def __call__(self, *args: object, code: int = 0) -> str:
        root = self.root
        return run_script(
            "organize_videos", "--split-dir", root / "split", "--clips", root / "clips.jsonl", "--clips-dir",
            root / "clips", "--objects", root / "case_objects.json", "--qa", root / "qa_pairs_without_idle.json",
            "--annotations", root / "source" / "annotations", "--output-dir", root / "dataset", *args, code=code,
        )  # fmt: skip

    def at(self, name: str) -> Path:
        return self.root / "dataset" / "videos" / CLIPS[name][0] / f"{name}.mp4"

    def manifest(self) -> dict[str, dict[str, str]]:
        return {row["clip"]: row for row in files.read_jsonl(self.root / "dataset" / "videos.jsonl")}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_the_folder_has_the_publishers_structure(run: Run) -> None:
    run("--export", "link")
    assert tree(run.root / "dataset") == {
        "annotations",
        "annotations/phase_annotations",
        "annotations/segment_annotations",
        "videos",
        *(f"videos/{split}" for split in ("train", "val", "test", "unlabelled")),
        *(f"videos/{split}/{name}.mp4" for name, (split, _, _) in CLIPS.items()),
        *(f"{name}.json" for name in ("case_objects", "qa_pairs_without_idle")),
        *(f"{split}_qa_pairs.json" for split in ("train", "val", "test")),
        "videos.jsonl",
    }
    questions = json.loads((run.root / "dataset" / "test_qa_pairs.json").read_text())
    assert questions == [
        [{"video_filename": "case_3_a.mp4"}, {"question1": TURN.question, "answer1": TURN.answer}],
    ]
    assert (run.root / "dataset" / "annotations" / "phase_annotations" / "case_1").is_dir()
    for name, row in run.manifest().items():
        assert row["sha256"] == files.sha256_file(run.root / "dataset" / row["path"])
        assert (row["split"], row["made"]) == (CLIPS[name][0], "link")


def test_links_are_relative_and_survive_a_move_of_the_run(run: Run, tmp_path: Path) -> None:
    run("--export", "link")
    assert run.at("case_2_a").readlink() == Path("../../../clips/case_2/case_2_a.mp4")
    assert (run.root / "clips" / "case_2" / "case_2_a.mp4").is_file(), "nothing is moved"
    run.root.rename(tmp_path / "elsewhere")
    run.root = tmp_path / "elsewhere"
    assert run.at("case_2_a").is_file()
    assert (run.root / "dataset" / "annotations" / "phase_annotations" / "case_1").is_dir()


def test_links_are_right_where_the_output_lies_behind_a_link(run: Run, tmp_path: Path) -> None:
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (run.root / "out").symlink_to(tmp_path / "disk" / "deep")
    run("--export", "link", "--output-dir", run.root / "out" / "dataset")
    assert (run.root / "out" / "dataset" / "videos" / "val" / "case_2_a.mp4").is_file()


def test_exact_files_hold_the_wanted_frames_and_no_others(run: Run) -> None:
    said = run("--workers", 2)
    assert "2 exact, 3 link" in said
    for name, (_, first, count) in CLIPS.items():
        source = run.root / "clips" / name.rsplit("_", 1)[0] / f"{name}.mp4"
        assert len(all_frames(run.at(name))) == count
        got = read_frames(run.at(name), range(count)).astype(int)
        frames = read_frames(source, range(20)).astype(int)
        nearest = [int(np.abs(frames - one).mean(axis=(1, 2, 3)).argmin()) for one in got]
        assert nearest == list(range(first, first + count)), name
        assert run.at(name).is_symlink() == (run.manifest()[name]["made"] == "link")
        assert run.manifest()[name]["sha256"] == files.sha256_file(run.at(name))
    assert {name for name, row in run.manifest().items() if row["made"] == "exact"} == {"case_3_a", "case_3_b"}


def test_copies_are_files_of_their_own_name(run: Run) -> None:
    run("--export", "copy")
    shutil.rmtree(run.root / "clips")
    for name, row in run.manifest().items():
        assert not run.at(name).is_symlink()
        assert files.sha256_file(run.at(name)) == row["sha256"]


def test_a_second_run_gives_the_same_folder_without_encoding_again(run: Run) -> None:
    run()
    before = {path: path.stat().st_mtime_ns for path in (run.root / "exports").iterdir()}
    first = (run.root / "dataset" / "videos.jsonl").read_bytes()
    assert len(before) == 2
    # Another split: the clip has left train, and nothing of it stays there.
    run.write_split("train", ["case_3_b"])
    run()
    assert not run.at("case_1_a").exists()
    assert run.manifest()["case_1_a"]["path"] == "videos/unlabelled/case_1_a.mp4"
    run.write_split("train", ["case_1_a", "case_3_b"])
    run()
    assert (run.root / "dataset" / "videos.jsonl").read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in (run.root / "exports").iterdir()} == before


def test_what_a_killed_run_left_behind_is_cleared(run: Run) -> None:
    for name in ("exports/.case_3_a.0123456789abcdef.mp4.tmp-1.mp4", ".dataset.tmp-1/videos/part.mp4"):
        (run.root / name).parent.mkdir(parents=True)
        (run.root / name).touch()
    run()
    assert not [path for path in run.root.rglob("*") if "tmp-" in path.name]


def test_a_failed_run_leaves_the_folder_as_it_was(run: Run) -> None:
    run("--export", "link")
    before = tree(run.root / "dataset")
    (run.root / "qa_pairs_without_idle.json").write_text("[")
    run("--export", "link", code=2)
    assert tree(run.root / "dataset") == before
    assert not [path for path in run.root.iterdir() if "tmp" in path.name]


def test_a_missing_clip_names_its_case_and_the_cure(run: Run) -> None:
    (run.root / "clips" / "case_2" / "case_2_a.mp4").unlink()
    said = run(code=2)
    assert "1 clip files are missing; the first is case_2_a of case_2" in said
    assert "cut case_2 again" in said
    assert not (run.root / "dataset").exists()


def test_a_clip_that_is_not_the_one_described_is_refused(run: Run) -> None:
    make_video(run.root / "clips" / "case_2" / "case_2_a.mp4", seconds=2, seed=99)
    assert "clip case_2_a of case_2 is not the file that its manifest describes" in run(code=2)


def test_a_folder_with_other_things_in_it_is_not_replaced(run: Run) -> None:
    (run.root / "dataset").mkdir()
    (run.root / "dataset" / "thesis.tex").write_text("years of work")
    assert "holds 'thesis.tex'" in run(code=2)
    assert (run.root / "dataset" / "thesis.tex").read_text() == "years of work"


def test_a_clip_in_two_splits_is_refused(run: Run) -> None:
    run.write_split("val", ["case_1_a"])
    assert "clip case_1_a is in train and in val" in run(code=2)


def test_an_annotation_that_is_one_file_is_linked(run: Run) -> None:
    table = run.root / "source" / "my.csv"
    table.write_text("case,media\n")
    run("--export", "link", "--annotations", table)
    linked = run.root / "dataset" / "annotations" / "my.csv"
    assert linked.is_symlink()
    assert linked.read_text() == "case,media\n"
    assert "no such folder or file of annotations" in run("--annotations", run.root / "none.csv", code=2)


def test_exports_that_no_clip_needs_any_more_are_removed(run: Run) -> None:
    run()
    exports = run.root / "exports"
    before = {path.name for path in exports.iterdir()}
    (exports / "case_3_a.0123456789abcdef.mp4").touch()
    (exports / "notes.txt").touch()
    assert "1 exports that no clip needs any more were removed" in run()
    assert {path.name for path in exports.iterdir()} == before | {"notes.txt"}
    # A folder that was named may serve other datasets too.
    (exports / "case_3_a.0123456789abcdef.mp4").touch()
    run("--exports-dir", exports)
    assert (exports / "case_3_a.0123456789abcdef.mp4").exists()


def test_a_comment_in_the_encoder_does_not_encode_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "suture" / "video" / "reencode.py"
    module.parent.mkdir(parents=True)
    monkeypatch.setattr(digest, "SCRIPTS", tmp_path)
    names = []
    for text in ("CRF = 16\n", "# why\nCRF = 16  # not\n", "CRF = 17\n"):
        module.write_text(text)
        digest._read.cache_clear()
        names.append(exports.path_of(make_clip(), tmp_path).name)
    digest._read.cache_clear()
    assert names[0] == names[1] != names[2]
