"""predict.py --adapter: our own adapters and published ones, beside the model that they are merged into."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import cache_frames
import export_model
import fetch_weights
import predict
import train as train_command
from suture import files, hub, model_folder
from suture.errors import InputError
from toy_clips import cache_arguments, make_toy

# Names of transformers 4.49, which the published adapters were made with, of the families that have some.
FORMER = {
    "qwen2_5_vl": ("model.language_model.", "model."),
    "llava_next_video": ("model.language_model.", "language_model.model."),
}


def command(module: Any, *arguments: object) -> Any:
    """Runs a command in this process, which saves its imports."""
    return module.main(module.parser().parse_args([str(argument) for argument in arguments]))


@pytest.fixture(scope="module", params=list(FORMER))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def run(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``base``, a LoRA ``checkpoint`` of it, and the ``model`` exported from both."""
    root = make_toy(tmp_path_factory.mktemp(family), clips=4)
    command(cache_frames, *cache_arguments(root, root))
    command(fetch_weights, "--family", family, "--model", "small", "--output", root / "base")
    data = ["--model", root / "base", "--train", root / "samples.jsonl", "--frames-cache", root / "shard-0.jsonl"]
    kind = ["--use-lora", "--no-use-qlora", "--lora-targets", "all-linear", "--no-gradient-checkpointing"]
    steps = [
        "--max-steps",
        12,
        "--batch-size",
        2,
        "--gradient-accumulation-steps",
        1,
        "--learning-rate",
        1e-2,
        "--frames",
        4,
    ]
    where = ["--output", root / "checkpoint", "--precision", "fp32", "--system-prompt", "Look closely."]
    assert command(train_command, "--family", family, *data, *kind, *steps, *where) == 0
    command(export_model, "--checkpoint", root / "checkpoint", "--base", root / "base", "--output", root / "model")
    return root


def said(run: Path, out: Path, *flags: object) -> list[str]:
    data = ["--samples", run / "samples.jsonl", "--frames-cache", run / "shard-0.jsonl", "--max-new-tokens", 8]
    # Draws are equal only where all logits are; the likeliest word of a barely trained model is often the same.
    command(predict, *data, "--temperature", 1.0, *flags, "--output", out)
    return [row["prediction"] for row in files.read_jsonl(out)]


@pytest.fixture(scope="module")
def merged(run: Path) -> list[str]:
    answers = said(run, run / "merged.jsonl", "--model", run / "model")
    assert answers != said(run, run / "base.jsonl", "--model", run / "base")
    return answers


@pytest.fixture(scope="module")
def published(family: str, run: Path) -> Path:
    """The checkpoint's adapter as one would find it on the hub: former names, no card of ours."""
    folder = run / "published"
    folder.mkdir()
    new, old = FORMER[family]
    tensors = load_file(run / "checkpoint" / "adapter_model.safetensors")
    save_file(
        {name.replace(new, old): tensor for name, tensor in tensors.items()}, folder / "adapter_model.safetensors"
    )
    config = json.loads((run / "checkpoint" / "adapter_config.json").read_text())
    config |= {"base_model_name_or_path": "maker/base", "target_modules": ["q_proj", "v_proj", "k_proj", "o_proj"]}
    config["target_modules"] += ["gate_proj", "up_proj", "down_proj"]
    config["exclude_modules"] = ".*(vision_tower|visual).*"  # which have layers of the same names
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_an_adapter_beside_its_base_says_what_the_merged_model_says(
    run: Path, merged: list[str], published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, prompt = ["--model", run / "base", "--adapter"], ["--system-prompt", "Look closely."]
    # The system prompt of training goes along with an adapter of ours.
    for ours in ("checkpoint", "model", "model/adapter"):
        capsys.readouterr()
        assert said(run, tmp_path / "ours.jsonl", *base, run / ours) == merged, ours
        assert "28 tensors matched (0 by a former name), 0 missing, 0 unexpected" in capsys.readouterr().err
    assert said(run, tmp_path / "theirs.jsonl", *base, published, *prompt) == merged
    printed = capsys.readouterr().err
    assert "28 tensors matched (28 by a former name), 0 missing, 0 unexpected" in printed
    assert "the adapter is for maker/base; whether --model is that one cannot be told" in printed
    assert said(run, tmp_path / "theirs.jsonl", *base, published) != merged


def test_files_are_shown_to_an_adapted_model_as_its_training_was(run: Path, tmp_path: Path) -> None:
    asked = ["--media", run / "clips", "--max-new-tokens", 8, "--temperature", 1.0, "--output"]
    command(predict, "--model", run / "model", *asked, tmp_path / "merged.jsonl")
    command(predict, "--model", run / "base", "--adapter", run / "checkpoint", *asked, tmp_path / "adapted.jsonl")
    assert len(files.read_jsonl(tmp_path / "merged.jsonl")) == 4
    assert (tmp_path / "merged.jsonl").read_bytes() == (tmp_path / "adapted.jsonl").read_bytes()


def test_the_best_adapter_of_a_run_is_put_on_where_it_was_kept(run: Path, tmp_path: Path) -> None:
    kept = tmp_path / "checkpoint"
    shutil.copytree(run / "checkpoint", kept)
    (kept / "best").mkdir()
    shutil.copy2(kept / "adapter_config.json", kept / "best")
    tensors = load_file(kept / "adapter_model.safetensors")
    save_file({name: tensor * 0 for name, tensor in tensors.items()}, kept / "best" / "adapter_model.safetensors")
    card = {key: value for key, value in model_folder.read_card(kept).items() if key != "schema"}
    model_folder.write_card(kept, **card | {"best_step": 3})
    prompt = ["--system-prompt", card["system_prompt"]]
    plain = said(run, tmp_path / "base.jsonl", "--model", run / "base", *prompt)
    for folder in (kept, kept / "best"):  # adapters of zeros change nothing
        assert said(run, tmp_path / "best.jsonl", "--model", run / "base", "--adapter", folder) == plain


def test_an_adapter_of_another_model_is_refused(run: Path, published: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(InputError, match="trained beside other weights than --model has"):
        said(run, out, "--model", run / "model", "--adapter", run / "checkpoint")
    base = tmp_path / "base"
    shutil.copytree(run / "base", base)
    listed = files.read_json(base / "weights.json")
    files.write_json(base / "weights.json", listed | {"model": "Other/Base"})
    with pytest.raises(InputError, match="the adapter is for maker/base, the model is Other/Base"):
        said(run, out, "--model", base, "--adapter", published)
    files.write_json(base / "weights.json", listed | {"model": "Maker/BASE"})
    assert said(run, out, "--model", base, "--adapter", published)
    tensors = load_file(published / "adapter_model.safetensors")
    name = sorted(tensors)[0]
    broken = tmp_path / "broken"
    shutil.copytree(published, broken)
    save_file(
        {name.replace("lora_A", "lora_C") if one == name else one: tensor for one, tensor in tensors.items()},
        broken / "adapter_model.safetensors",
    )
    with pytest.raises(InputError, match=r"27 tensors matched, 1 missing, 1 unexpected; .*lora_A.*lora_C") as caught:
        said(run, tmp_path / "none.jsonl", "--model", run / "base", "--adapter", broken)
    assert caught.value.where == str(broken)
    with pytest.raises(InputError, match=r"no adapter_config\.json"):
        said(run, tmp_path / "none.jsonl", "--model", run / "base", "--adapter", run / "base")
    assert not (tmp_path / "none.jsonl").exists()


def test_a_hub_adapter_is_fetched_at_its_commit(
    run: Path,
    published: Path,
    merged: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    def fetched(name: str, revision: str | None, *, flag: str) -> Path:
        asked.append((name, revision, flag))
        return published if name == "kida1122/adapter" else run / "base"

    flags = ["--model", run / "base", "--adapter", "kida1122/adapter", "--system-prompt", "Look closely."]
    with pytest.raises(InputError, match="there is no folder kida1122/adapter") as caught:
        said(run, tmp_path / "out.jsonl", *flags)
    assert "--adapter-revision COMMIT" in str(caught.value.fix)
    with pytest.raises(InputError, match="not pinned: revision 'main' is no commit"):
        said(run, tmp_path / "out.jsonl", *flags, "--adapter-revision", "main")
    monkeypatch.setattr(hub, "cached", fetched)
    assert said(run, tmp_path / "out.jsonl", *flags, "--adapter-revision", "a" * 40) == merged
    assert asked == [("kida1122/adapter", "a" * 40, "--adapter-revision")]
    capsys.readouterr()
    # A model of the hub, too: there its name is known, and it is the one that the adapter names.
    both = ["--model", "Maker/Base", "--revision", "b" * 40, *flags[2:], "--adapter-revision", "a" * 40]
    assert said(run, tmp_path / "out.jsonl", *both) == merged
    assert asked[1:] == [("Maker/Base", "b" * 40, "--revision"), ("kida1122/adapter", "a" * 40, "--adapter-revision")]
    assert "cannot be told" not in capsys.readouterr().err
