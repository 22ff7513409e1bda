"""SSG-VQA's files: read as the authors' loader reads them, odd lines counted, test videos kept apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import ingest
import split_dataset
from support import ROOT, SHARED, call, run_script
from suture import cli, hub, records, registry
from suture.datasets.ssgvqa import lines, vocabulary
from suture.records import Clip, Rejection, Sample, Turn

DATA = SHARED / "ssgvqa"
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def published() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not here")
    return DATA


def write(root: Path, video: str, frame: int | str, *asked: str, first: str = "hook") -> Path:
    """Writes the questions of a frame below two lines of several answers."""
    path = root / video / f"{frame}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = ["Which anatomical structures are present?|liver, gallbladder", f"Which tools are present?|{first}"]
    path.write_text("\n".join([*head, *asked]) + "\n")
    return path


def image(root: Path, video: str, frame: int) -> None:
    from PIL import Image

    path = root / video / f"{frame:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (frame % 255, 20, 30)).save(path)


COUNT = "How many top-mid instruments are there?|1|zero_hop.json|count|NA"


def test_labels_and_split_are_the_published_ones(published: Path) -> None:
    assert list(vocabulary.LABELS) == json.loads((published / "labels.json").read_text())
    for split, videos in vocabulary.SPLIT.items():
        assert list(videos) == json.loads((published / "splits" / f"{split}_videos.json").read_text())
    assert [len(videos) for videos in vocabulary.SPLIT.values()] == [35, 5, 5]
    assert len({video for videos in vocabulary.SPLIT.values() for video in videos}) == 45


def test_the_published_frame_is_read_as_the_official_loader_does(published: Path) -> None:
    adapter = registry.dataset("ssgvqa")
    (segment,) = adapter.read_case(published, "VID01").segments
    assert segment.media == "VID01/000262.png"
    text = (published / "qa_txt/VID01/262.txt").read_text()
    filled = [line.split("|") for line in text.split("\n") if line]
    official = [(fields[0], fields[1]) for place, fields in enumerate(filled) if place >= 2]
    turns = [turn for turn in segment.turns if turn.kind != lines.MULTI_LABEL]
    assert [(turn.question, turn.answer) for turn in turns] == official
    assert [turn.answer for turn in segment.turns if turn.kind == lines.MULTI_LABEL] == [
        fields[1] for fields in filled[:2]
    ]
    assert adapter.read_case(published, "VID01").rejected == ()
    kinds = [turn.kind for turn in turns]
    assert kinds.count("general") == 4 == sum(len(fields) < 5 for fields in filled[2:])
    assert kinds[4] == "count/single_and" and kinds[7] == "query_attribute/query_color/single_and"
    assert sum("one_hop" in kind.split("/") for kind in kinds) == sum("one_hop.json" in fields for fields in filled)


@pytest.mark.parametrize("keep", [False, True])
def test_lines_of_several_answers_are_left_out_counted_or_kept(published: Path, tmp_path: Path, keep: bool) -> None:
    out, rejected = tmp_path / "samples.jsonl", tmp_path / "rejected.jsonl"
    more = ["--keep-kinds", "multi_label"] if keep else []
    where = ["--adapter", "ssgvqa", "--root", published, "--without-media", "--output", out, "--rejected", rejected]
    call(ingest, *where, "--questions", "apart", *more)
    samples: list[Sample] = records.read(out, Sample)
    assert len(samples) == (21 if keep else 19)
    assert {len(sample.turns) for sample in samples} == {1} and samples[0].clip == "VID01_000262"
    found: list[Rejection] = records.read(rejected, Rejection)
    assert [one.detail for one in found] == (
        [] if keep else ["VID01: 2 questions of kind multi_label about 1 images or stretches"]
    )


def test_odd_lines_are_counted_by_file_and_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "VID04",
        7,
        "",
        "What is it?|galbladder",
        "A question without an answer",
        "What colour?|red|three_hop.json|query_color|NA",
        "Which?|hook|a|b",
        COUNT,
    )
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    (tmp_path / "VID04" / "notes.txt").write_text("x")
    (tmp_path / "VID04" / "9.txt").write_bytes(b"\xff\xfe\x00")
    case = registry.dataset("ssgvqa").read_case(tmp_path, "VID04")
    assert [(one.where, one.reason) for one in case.rejected] == [
        ("VID04/notes.txt", "odd_file"),
        ("VID04/7.txt:4", "unknown_label"),
        ("VID04/7.txt:5", "malformed_line"),
        ("VID04/7.txt:6", "malformed_line"),
        ("VID04/7.txt:7", "malformed_line"),
        ("VID04/9.txt", "unreadable_file"),
    ]
    assert "did you mean 'gallbladder'" in case.rejected[1].detail
    (segment,) = case.segments
    assert [turn.answer for turn in segment.turns] == ["liver, gallbladder", "hook", "1"]


def test_too_many_odd_lines_stop_the_reading(tmp_path: Path) -> None:
    write(tmp_path, "VID04", 1, COUNT, "What is it?|nothing known")
    done = run_script("ingest", "--adapter", "ssgvqa", "--root", tmp_path, "--without-media", "--max-rejected", "0.1",
        "--output", tmp_path / "out.jsonl", code=cli.BAD_INPUT,
    )  # fmt: skip
    assert "unknown_label 1" in done and "VID04/1.txt:4" in done


def test_a_frame_without_its_image_is_left_out_by_name(tmp_path: Path) -> None:
    qa, frames, rejected = tmp_path / "qa_txt", tmp_path / "frames", tmp_path / "rejected.jsonl"
    write(qa, "VID04", 1, COUNT)
    write(qa, "VID04", 2, COUNT)
    image(frames / "data", "VID04", 1)
    adapter = registry.dataset("ssgvqa")
    assert adapter.case_media(tmp_path, frames, "VID04") == [frames / "data/VID04/000001.png"]
    call(
        ingest, "--adapter", "ssgvqa", "--root", tmp_path, "--videos", frames, "--output", tmp_path / "out.jsonl",
        "--rejected", rejected,
    )  # fmt: skip
    assert [one.clip for one in records.read(tmp_path / "out.jsonl", Sample)] == ["VID04_000001"]
    assert [one.where for one in records.read(rejected, Rejection) if one.reason == "media_missing"] == [
        "VID04/000002.png, annotation row 1 of VID04/2.txt"
    ]


def test_both_test_variants_are_named(tmp_path: Path) -> None:
    write(tmp_path, "VID04", 1, COUNT)
    write(tmp_path, "VID02", 1, COUNT)
    write(tmp_path, "VID02_clean", 1, "What is it?|liver")
    write(tmp_path, "VID99", 1, COUNT)
    for name, answer, group, other in (
        ("ssgvqa", "1", "test_full", "VID02_clean"),
        ("ssgvqa_clean", "liver", "test_clean", "VID02"),
    ):
        adapter = registry.dataset(name)
        assert adapter.case_ids(tmp_path) == ["VID02", "VID04"]
        (segment,) = adapter.read_case(tmp_path, "VID02").segments
        assert segment.turns[2].answer == answer
        assert group in segment.turns[2].kind.split("/")
        assert [one.where for one in adapter.general(tmp_path, None)] == sorted([other, "VID99"])  # type: ignore[attr-defined]
        assert adapter.read_split(tmp_path) == {"VID02": "test", "VID04": "train"}  # type: ignore[attr-defined]
        (trained,) = adapter.read_case(tmp_path, "VID04").segments
        assert trained.turns[2].kind == "count/zero_hop"


def test_an_edit_changes_the_digest_of_its_video_alone(tmp_path: Path) -> None:
    for video in ("VID04", "VID05"):
        write(tmp_path, video, 1, COUNT)
    adapter = registry.dataset("ssgvqa")
    before = [adapter.case_digest(tmp_path, video) for video in ("VID04", "VID05")]  # type: ignore[attr-defined]
    write(tmp_path, "VID05", 1, COUNT, COUNT)
    after = [adapter.case_digest(tmp_path, video) for video in ("VID04", "VID05")]  # type: ignore[attr-defined]
    assert before[0] == after[0] and before[1] != after[1]


def split_arguments(where: Path, videos: tuple[str, ...]) -> list[object]:
    """Lays out a manifest of one question about each video."""

    def clip(video: str) -> Clip:
        digest = f"{video:0<64}"
        return Clip(
            id=f"{video}_1", case=video, phase="x", start_s=0, end_s=0, path=f"{video}/1.png", first_frame=0,
            n_frames=1, fps=0, width=8, height=8, method="image", sha256=digest, source=video, source_sha256=digest,
        )  # fmt: skip

    turn = Turn(question="What?", answer="liver", kind="general")
    records.write(where / "clips.jsonl", [clip(video) for video in videos])
    records.write(
        where / "samples.jsonl",
        [Sample(id=f"{v}_1", case=v, clip=f"{v}_1", phase="x", turns=(turn,)) for v in videos],
    )
    return [
        "--adapter", "ssgvqa", "--samples", where / "samples.jsonl", "--clips", where / "clips.jsonl",
        "--output-dir", where / "split",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "asked",
    [
        ["--assign", "{here}/all.csv"],
        ["--unit", "clip"],
        ["--folds", "3", "--fold", "0"],
        ["--assign", "{here}/val.csv"],
        ["--fractions", "0.9", "0.1"],
    ],
)
def test_test_videos_are_never_trained_on_whatever_is_asked(tmp_path: Path, asked: list[str]) -> None:
    arguments = split_arguments(tmp_path, ("VID02", "VID22", "VID43", "VID60", "VID74", "VID04"))
    (tmp_path / "all.csv").write_text(
        "case,split\n" + "".join(f"VID{n},train\n" for n in ("02", "22", "43", "60")) + "VID74,val\nVID04,test\n"
    )
    (tmp_path / "val.csv").write_text(
        "case,split\nVID02,val\nVID04,train\nVID22,test\nVID43,test\nVID60,test\nVID74,test\n"
    )
    done = run_script("split_dataset", *arguments, *(one.format(here=tmp_path) for one in asked), code=cli.BAD_INPUT)
    assert "never trained on" in done and "VID" in done
    assert not (tmp_path / "split/train.jsonl").exists()


def test_the_official_split_is_made_of_what_is_there(tmp_path: Path) -> None:
    videos = ("VID02", "VID04", "VID01", "VID74")
    for video in videos:
        write(tmp_path / "qa", video, 1, COUNT)
    call(split_dataset, *split_arguments(tmp_path, videos), "--official", tmp_path / "qa")
    split = json.loads((tmp_path / "split/split.json").read_text())
    assert split["cases"] == {"test": ["VID02", "VID74"], "train": ["VID04"], "val": ["VID01"]}


def test_both_published_runs_pin_each_of_their_three_models() -> None:
    config = yaml.safe_load((ROOT / "config/ssgvqa.yaml").read_text())
    for name, experiment in config["experiments"].items():
        pins = experiment["revision"].split("+")
        assert len(pins) == len(experiment["model"].split("+")) == 3, name
        assert all(hub.COMMIT.fullmatch(pin) for pin in pins), name
