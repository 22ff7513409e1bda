"""train.py with the published scripts' files and arguments, as their README calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import fetch_weights
from support import call, run_script
from suture import files, model_folder, records
from suture.records import Sample
from toy_clips import make_toy


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the published organize_videos leaves it, and a small base model."""
    root = tmp_path_factory.mktemp("published")
    toy = make_toy(root / "toy", clips=6)
    samples: list[Sample] = records.read(toy / "samples.jsonl", Sample)
    (root / "videos").mkdir()
    entries = []
    for sample in samples:
        shutil.copy(toy / "clips" / sample.case / f"{sample.clip}.mp4", root / "videos")
        pairs = [{f"question{n}": t.question, f"answer{n}": t.answer} for n, t in enumerate(sample.turns, start=1)]
        entries.append([{"video_filename": f"{sample.clip}.mp4"}, *pairs])
    (root / "train_qa_pairs.json").write_text(json.dumps([*entries[:5], entries[0]]))
    (root / "val_qa_pairs.json").write_text(json.dumps(entries[5:]))
    call(fetch_weights, "--family", "llava_next_video", "--model", "small", "--output", root / "base")
    return root


def arguments(root: Path, out: Path) -> list[object]:
    data = ["--train_data_path", root / "train_qa_pairs.json", "--train_video_dir", root / "videos"]
    data += ["--val_data_path", root / "val_qa_pairs.json", "--val_video_dir", root / "videos"]
    # What the README gives; 7B weights, their size and their arithmetic are not to be had here.
    given = ["--model_id", root / "base", "--batch_size", 1, "--num_epochs", 1, "--learning_rate", "2e-3"]
    small = ["--size", 56, 56, "--precision", "fp32"]
    return ["--family", "llava_next_video", *data, *given, *small, "--save_adapter", "--save_dir", out]


def test_the_published_call_trains_and_leaves_the_adapter(published: Path, tmp_path: Path) -> None:
    out = tmp_path / "llava"
    said = run_script("train", *arguments(published, out))
    assert "train_qa_pairs.json: 5 samples; left out: 1 repeated_entry" in said
    assert "1 epochs of 5 samples, 8 a step: 1 steps" in said
    assert "qlora: 14 layers adapted, 14 in 4 bits" in said
    assert {p.name for p in out.iterdir() if p.is_file()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "suture.json",
    }
    card = model_folder.read_card(out)
    assert card["frames"] == {"fps": 2.0, "height": 56, "width": 56}
    config = files.read_json(out / "adapter_config.json")
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (8, 8, 0.1)
    # The published formula: int(10 / 2) * i for i in range(2 * 14 // 10).
    rows = files.read_jsonl(out / "checkpoint.progress" / "data" / "train" / "frames.jsonl")
    assert {tuple(row["indices"]) for row in rows} == {(0, 5)}


def test_videos_that_are_not_there_stop_the_run(published: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for path in sorted((published / "videos").iterdir())[1:]:
        shutil.copy(path, tmp_path / "videos")
    wrong = [*arguments(published, tmp_path / "out"), "--train_video_dir", tmp_path / "videos"]
    assert "1 of 5 clips cannot be used: no such video" in run_script("train", *wrong, code=2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hf_token", "hf_secret"], "set the environment variable HF_TOKEN"),
        (["--push_to_hub"], "push_to_hub.py --repo-id"),
        (["--hub_model_id", "x"], "push_to_hub.py --repo-id"),
        (["--frames-cache", "x.jsonl"], "both say where the videos are"),
        (["--val_data_path", "train_qa_pairs.json"], "5 clips are learnt from and validated on"),
    ],
)
def test_what_does_not_belong_on_this_command_line_is_refused(
    published: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    said = run_script("train", *arguments(published, tmp_path / "out"), *flags, code=2, cwd=published)
    assert message in said
    assert "hf_secret" not in said
