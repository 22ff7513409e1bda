"""SurgViVQA on drawn SSG-VQA files by the commands: published flags, stops, prompt modes, evaluation, sanity check."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import cache_features
import draw_cholecystectomy
import evaluate_checkpoint
import export_model
import fetch_weights
import predict
import sanity_check
import train as train_command
from support import ROOT, call, run_script
from suture import cli, files, libraries, model_folder, records, registry
from suture.errors import InputError
from suture.frames import FrameCache
from suture.records import Sample
from suture.training import kept_cases, question_folders

LABELS = ROOT / "config/ssgvqa.labels.json"
VIDEOS = ("VID04", "VID05", "VID01", "VID02")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ssgvqa")
    call(
        draw_cholecystectomy,
        "--cases",
        *VIDEOS,
        "--images",
        3,
        "--annotations",
        root / "qa",
        "--output",
        root / "frames",
    )
    call(fetch_weights, "--family", "surgvivqa", "--model", "small", "--output", root / "base")
    return root


def train(data: Path, out: Path, *more: object) -> int:
    """Trains by the published flags."""
    words = [
        "--family", "surgvivqa", "--model", data / "base",
        "--ssgvqa-root", data / "qa", "--image-root", data / "frames", "--size", 56, 56,
        "--max-steps", 6, "--batch-size", 2, "--lr", "5e-3", "--save-every-steps", 2,
        "--eval-every-steps", 3, "--precision", "fp32",
        "--num-frames", 2, "--output", out, "--work-dir", f"{out}-work",
        *more,
    ]  # fmt: skip
    args = train_command.parser("surgvivqa").parse_args([str(word) for word in words])
    return int(train_command.main(args))


def test_the_drawn_answers_are_told_by_the_picture_and_files_are_the_same_each_time(data: Path, tmp_path: Path) -> None:
    again = ["--images", 3, "--annotations", tmp_path / "qa", "--output", tmp_path / "frames"]
    call(draw_cholecystectomy, "--cases", *reversed(VIDEOS), *again)
    for folder in ("qa", "frames"):
        ours = sorted(path.relative_to(data / folder) for path in (data / folder).rglob("*.*"))
        assert ours == sorted(path.relative_to(tmp_path / folder) for path in (tmp_path / folder).rglob("*.*"))
        assert all((data / folder / path).read_bytes() == (tmp_path / folder / path).read_bytes() for path in ours)


def test_training_by_the_published_flags_stops_goes_on_and_keeps_test_videos_out(data: Path, tmp_path: Path) -> None:
    whole, first, second = (tmp_path / name for name in ("whole", "1", "2"))
    assert train(data, whole, "--prompt-mode", "simple") == cli.DONE
    assert train(data, first, "--prompt-mode", "simple", "--until-step", 3) == cli.DONE
    assert train(data, second, "--prompt-mode", "simple", "--resume", first) == cli.DONE
    for name in ("adapter_model.safetensors", "optimizer.pt", "log.jsonl"):
        assert (whole / name).read_bytes() == (second / name).read_bytes(), name
    card = model_folder.read_card(whole)
    assert card["prompt_mode"] == "simple" and card["parameters"]["adapted_layers"] == 6
    for split, cases in (("train", {"VID04", "VID05"}), ("val", {"VID01"})):
        read: list[Sample] = records.read(Path(f"{whole}-work") / "data" / split / "samples.jsonl", Sample)
        assert {sample.case for sample in read} == cases
        assert {len(sample.turns) for sample in read} == {1}


def test_the_best_weights_are_chosen_by_validation_videos_and_test_videos_play_no_part(
    data: Path, tmp_path: Path
) -> None:
    hot = ["--prompt-mode", "simple", "--lr", 0.1, "--eval-every-steps", 1, "--keep-best"]  # it overshoots
    without = tmp_path / "without"
    for folder in ("qa", "frames"):
        shutil.copytree(data / folder, without / folder, ignore=shutil.ignore_patterns("VID02"))
    shutil.copytree(data / "base", without / "base")
    assert train(data, tmp_path / "with", *hot) == train(without, tmp_path / "none", *hot) == cli.DONE
    losses = {
        entry["step"]: entry["eval_loss"]
        for entry in files.read_json(tmp_path / "with/trainer_state.json")["log_history"]
        if "eval_loss" in entry
    }
    best = min(losses, key=lambda step: losses[step])
    assert sorted(losses) == [1, 2, 3, 4, 5, 6] and best < 6
    assert model_folder.read_card(tmp_path / "with")["best_step"] == best
    assert train(data, tmp_path / "there", *hot, "--until-step", best) == cli.DONE
    kept, gone, there = (
        (tmp_path / name / "best/adapter_model.safetensors").read_bytes() for name in ("with", "none", "there")
    )
    assert kept == gone == there != (tmp_path / "with/adapter_model.safetensors").read_bytes()


def test_frozen_features_are_made_once_a_frame_and_train_as_the_frames_do(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the published 16 frames, a still repeated, and many questions about each."""
    libraries.prepare(threads=1)
    from suture.features import FeatureCache
    from suture.models.base import Video
    from suture.surgvivqa_model import SurgVivqaModel

    base = tmp_path / "base"
    call(fetch_weights, "--family", "surgvivqa", "--model", "small", "--num-frames", 16, "--output", base)
    made = {
        split: question_folders.prepare("ssgvqa", data / "qa", data / "frames", split, tmp_path / split, size=(56, 56))
        for split in ("train", "val")
    }
    frames = [one.frames for one in made.values()]
    encoded: list[tuple[int, ...]] = []
    encode = SurgVivqaModel.video_states_of
    monkeypatch.setattr(
        SurgVivqaModel,
        "video_states_of",
        lambda self, pixels: (encoded.append(tuple(pixels.shape)), encode(self, pixels))[1],
    )
    cached = tmp_path / "features.jsonl"
    call(
        cache_features, "--family", "surgvivqa", "--model", base, "--frames-cache", *frames, "--dtype", "fp32",
        "--output", cached, "--array", tmp_path / "features.npy",
    )  # fmt: skip
    questions = records.read(made["train"].samples, Sample)
    assert encoded == [(1, 16, 3, 56, 56)] * 9 and len(questions) > 5 * 6  # 9 frames in all, 6 of them in train
    again = FeatureCache([cached]).features(questions[0].clip).tokens
    assert again.shape == (16 // 2 * (56 // 14) ** 2, 64)
    shown = FrameCache(frames).frames(questions[0].clip)
    assert shown.shape == (1, 56, 56, 3)
    assert again.equal(registry.family("surgvivqa").load(base).features([Video(frames=shown)])[0])

    def run(name: str, *more: object) -> list[float]:
        encoded.clear()
        words = [
            "--family", "surgvivqa", "--model", base, "--train", made["train"].samples, "--dataset", "ssgvqa",
            "--frames-cache", *frames, "--max-steps", 4, "--batch-size", 2, "--lr", "5e-3", "--precision", "fp32",
            "--output", tmp_path / name, *more,
        ]  # fmt: skip
        args = train_command.parser("surgvivqa").parse_args([str(word) for word in words])
        assert train_command.main(args) == cli.DONE
        return [line["loss"] for line in files.read_jsonl(tmp_path / name / "log.jsonl") if "loss" in line]

    live = run("live")
    assert len(encoded) >= 4  # at each step, and before the first to know the memory
    fed = run("fed", "--features-cache", cached)
    assert encoded == []
    assert fed == pytest.approx(live, rel=1e-5)


@pytest.mark.parametrize("side", ["--train", "--val"])
@pytest.mark.parametrize("said", [["--dataset", "ssgvqa"], ["--dataset", "ssgvqa_clean"], []])
def test_test_videos_in_anyones_list_of_samples_are_refused(
    data: Path, tmp_path: Path, side: str, said: list[str]
) -> None:
    made = {
        split: question_folders.prepare(
            "ssgvqa", data / "qa", data / "frames", split, data / "lists" / split, size=(56, 56)
        )
        for split in ("train", "test")
    }
    lists = {"--train": made["train"].samples, side: made["test"].samples}
    words = [
        "--family", "surgvivqa", "--model", data / "base", "--max-steps", 1, "--precision", "fp32", *said,
        *(word for pair in lists.items() for word in pair),
        "--frames-cache", *(one.frames for one in made.values()), "--output", tmp_path / "out",
    ]  # fmt: skip
    args = train_command.parser("surgvivqa").parse_args([str(word) for word in words])
    with pytest.raises(InputError, match=f"VID02 in {side[2:]}: ssgvqa.*'s published test set"):
        train_command.main(args)
    assert not (tmp_path / "out").exists()


def test_a_name_is_refused_of_its_own_dataset_only() -> None:
    assert set(kept_cases.keepers("ssgvqa")) == {"VID02", "VID22", "VID43", "VID60", "VID74"}
    assert kept_cases.keepers("table") == {}
    assert {"VID74", "002-006"} <= kept_cases.keepers(None).keys()


@pytest.fixture(scope="module")
def exported(data: Path) -> Path:
    assert train(data, data / "run", "--prompt-mode", "choices", "--choices", LABELS) == cli.DONE
    call(export_model, "--checkpoint", data / "run", "--base", data / "base", "--output", data / "model")
    return data / "model"


def test_a_model_is_evaluated_by_one_command_as_it_was_trained(data: Path, exported: Path, tmp_path: Path) -> None:
    words = [
        "--family", "surgvivqa", "--adapter", "ssgvqa", "--root", data / "qa", "--videos", data / "frames",
        "--choices", LABELS, "--checkpoint", exported, "--limit", 12,
    ]  # fmt: skip
    call(evaluate_checkpoint, *words, "--output", tmp_path / "own")
    call(evaluate_checkpoint, *words, "--output", tmp_path / "said", "--prompt-mode", "choices")
    assert (tmp_path / "own/predictions.jsonl").read_bytes() == (tmp_path / "said/predictions.jsonl").read_bytes()
    entry = files.read_json(tmp_path / "own/metrics.json")
    assert entry["metrics"]["acc"]["n"] == 12 == entry["metrics"]["acc@test_full"]["n"]
    assert {"majority", "ceiling"} <= entry["baselines"].keys()
    assert {"mAF1@official", "mAF1@published", "wF1", "acc@exist", "acc@zero_hop"} <= entry["metrics"].keys()
    answered = files.read_jsonl(tmp_path / "own/predictions.jsonl")
    assert all(len(row["scores"]) == 51 and row["case"] == "VID02" for row in answered)
    with pytest.raises(InputError, match="trained with prompt mode 'choices', not 'simple'"):
        call(evaluate_checkpoint, *words, "--output", tmp_path / "other", "--prompt-mode", "simple")


def test_a_published_file_is_evaluated_by_the_same_command(data: Path, tmp_path: Path) -> None:
    """Beside the same model as a folder, whose adapters their own library has merged."""
    libraries.prepare(threads=1)
    import published_surgvivqa

    model = registry.family("surgvivqa").load(data / "base")
    wrapped = published_surgvivqa.save(model.model, tmp_path / "best_model.pth")
    shutil.copytree(data / "base", tmp_path / "merged")
    model.model.llm = wrapped.merge_and_unload()
    model.model.save_pretrained(tmp_path / "merged")
    shutil.copy2(data / "base/tokenizer.json", tmp_path)
    shutil.copy2(data / "base/tokenizer_config.json", tmp_path)
    words = [
        "--family", "surgvivqa", "--adapter", "ssgvqa", "--root", data / "qa", "--videos", data / "frames",
        "--choices", LABELS, "--prompt-mode", "simple", "--size", 56, 56, "--limit", 6, "--checkpoint",
    ]  # fmt: skip
    file = [*words, tmp_path / "best_model.pth", "--assume", "num_frames=2", "image_size=56", "head_width=16"]
    said = run_script("evaluate_checkpoint", *file, "--output", tmp_path / "file")
    count = len(model.model.state_dict())
    assert (
        f"best_model.pth: {count} tensors matched, 0 missing, 0 unexpected, 3 of no use; "
        "6 adapters merged with alpha 32; not in the file, assumed as published: lora_alpha=32; "
        "as told: num_frames=2 image_size=56 head_width=16"
    ) in said
    report = files.read_json(tmp_path / "file/checkpoint.json")
    assert (report["matched"], report["missing"], report["assumed"]) == (count, [], {"lora_alpha": 32})
    call(evaluate_checkpoint, *words, tmp_path / "merged", "--output", tmp_path / "folder")
    of_file, of_folder = (files.read_jsonl(tmp_path / name / "predictions.jsonl") for name in ("file", "folder"))
    assert len(of_file) == len(of_folder) == 6
    for ours, theirs in zip(of_file, of_folder, strict=True):
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-4)
    # Another alpha is another model: the file does not tell, and what is assumed matters.
    call(evaluate_checkpoint, *file, "lora_alpha=16", "--output", tmp_path / "other")
    assert files.read_jsonl(tmp_path / "other/predictions.jsonl")[0]["scores"] != pytest.approx(
        of_file[0]["scores"], abs=1e-2
    )


def test_a_file_without_a_tensor_of_the_model_is_an_error(data: Path, tmp_path: Path) -> None:
    import torch

    torch.save({"backbone.conv.weight": torch.zeros(2)}, tmp_path / "other.pth")
    said = run_script(
        "evaluate_checkpoint", "--family", "surgvivqa", "--adapter", "ssgvqa", "--root", data / "qa", "--videos",
        data / "frames", "--choices", LABELS, "--checkpoint", tmp_path / "other.pth", "--output", tmp_path / "out",
        code=cli.BAD_INPUT,
    )  # fmt: skip
    assert "0 matched" in said and not (tmp_path / "out").exists()


def test_predict_enforces_the_prompt_mode_too(data: Path, exported: Path, tmp_path: Path) -> None:
    work = Path(f"{data / 'run'}-work") / "data/val"
    asked = ["--model", exported, "--samples", work / "samples.jsonl", "--frames-cache", work / "frames.jsonl"]
    with pytest.raises(InputError, match="not 'simple'"):
        call(predict, *asked, "--choices", LABELS, "--prompt-mode", "simple", "--output", tmp_path / "p.jsonl")


def test_the_sanity_check_passes_on_whole_data_and_fails_on_wrong_labels(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--model", data / "base", "--ssgvqa-root", data / "qa", "--image-root", data / "frames", "--size", 56, 56,
        "--batch-size", 2,
    ]  # fmt: skip
    code = sanity_check.main(sanity_check.parser().parse_args([str(word) for word in words]))
    said = capsys.readouterr().out
    assert code == cli.DONE, said
    for part in (
        "no case on two sides: 2 train, 1 val, 1 test",
        "51 labels, the official ones",
        "parameters are trained",
        "ln(51) = 3.93",
        "that of a token is",
        "learnt by heart",
        "30000 steps take",
        "GiB of memory",
    ):
        assert part in " ".join(said.split()), part
    (tmp_path / "labels.json").write_text('["liver", "hook"]')
    (tmp_path / "run.yaml").write_text(
        f"run: x\ndataset: ssgvqa\nannotations: {data / 'qa'}\nvideos: {data / 'frames'}\n"
        "qa: {backend: annotation, questions: apart}\n"
        "experiments: {one: {family: surgvivqa, task: closed_vqa, frames: {count: 1, height: 56, width: 56},"
        " train: {max_steps: 1, steps_per_job: 1},"
        f" predict: {{choices: {tmp_path / 'labels.json'}, history: none}}}}}}\n"
    )
    code = sanity_check.main(sanity_check.parser().parse_args(["--configfile", str(tmp_path / "run.yaml")]))
    said = " ".join(capsys.readouterr().out.split())
    assert code == cli.BAD_INPUT
    assert "not ssgvqa's 51 labels in their order: label 0 is 'liver', not '0'" in said
    assert "5 cases are never trained on" in said
