"""LoRA and QLoRA as a user runs them: segments, merged models, refusals."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as torch_load
from safetensors.torch import save_file as torch_save

import cache_frames
import export_model
import fetch_weights
import predict
import train as train_command
from support import SCRIPTS, call, run_script
from suture import cli, files, model_folder
from suture.errors import InputError, SutureError
from toy_clips import cache_arguments, make_toy

STEPS = 20
ADAPTERS = ["lora", "qlora"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_toy(tmp_path_factory.mktemp("toy"), clips=7)
    call(cache_frames, *cache_arguments(root, root))
    call(fetch_weights, "--family", "qwen2_5_vl", "--model", "small", "--output", root / "base")
    return root


def train(data: Path, out: Path, *more: object) -> int:
    inputs = ["--model", data / "base", "--train", data / "samples.jsonl", "--val", data / "samples.jsonl"]
    cache = ["--frames-cache", data / "shard-0.jsonl", "--output", out, "--work-dir", f"{out}-work"]
    options = ["--max-steps", STEPS, "--batch-size", 2, "--gradient-accumulation-steps", 2, "--learning-rate", 1e-2]
    varied = ["--precision", "fp32", "--augment", "--lora-dropout", 0.1, "--save-steps", 3, "--logging-steps", 5]
    varied += ["--lora-targets", "all-linear", "--no-gradient-checkpointing"]
    code: int = call(train_command, "--family", "qwen2_5_vl", *inputs, *cache, *options, *varied, *more)
    return code


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(data: Path) -> dict[str, Path]:
    """The runs that never stopped, by what they train."""
    outs = {kind: data / kind for kind in ADAPTERS}
    for kind, out in outs.items():
        assert train(data, out, f"--use-{kind}") == cli.DONE
    return outs


@pytest.fixture(scope="module")
def exported(data: Path, whole: dict[str, Path]) -> dict[str, Path]:
    folders = {kind: data / f"exported-{kind}" for kind in ADAPTERS}
    for kind, folder in folders.items():
        export(data, whole[kind], folder)
    return folders


def export(data: Path, checkpoint: Path, out: Path, *, base: str = "base") -> None:
    call(export_model, "--checkpoint", checkpoint, "--base", data / base, "--output", out)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_segments_equal_one_run_to_the_bit(data: Path, whole: dict[str, Path], tmp_path: Path, kind: str) -> None:
    undisturbed = whole[kind]
    flag, first, second = f"--use-{kind}", tmp_path / "1", tmp_path / "2"
    codes = []
    while not first.exists() and len(codes) < 4:
        codes.append(train(data, first, flag, "--until-step", 3, "--deadline-seconds", 0.001))
    assert codes == [cli.DEADLINE, cli.DEADLINE, cli.DONE]
    assert train(data, second, flag, "--resume", first) == cli.DONE
    assert list(contents(second)) == list(contents(undisturbed))
    assert {"adapter_config.json", "adapter_model.safetensors", "optimizer.pt", "rng_state.pth"} <= set(
        contents(second)
    )
    assert "model.safetensors" not in contents(second)
    assert [n for n, content in contents(undisturbed).items() if contents(second)[n] != content] == []
    assert contents(first)["adapter_model.safetensors"] != contents(second)["adapter_model.safetensors"]


@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_learn_and_the_checkpoint_says_what_they_are(data: Path, whole: dict[str, Path], kind: str) -> None:
    out = whole[kind]
    losses = [line["loss"] for line in files.read_jsonl(out / "log.jsonl") if "loss" in line]
    assert losses[-1] < 0.6 * losses[0]
    card = model_folder.read_card(out)
    assert card["adapter"] == kind
    assert card["parameters"] == {
        "total": model_folder.count_parameters(data / "base") + model_folder.count_parameters(out),
        "trainable": model_folder.count_parameters(out),
        "adapted_layers": 14,
        "quantized_layers": 14 if kind == "qlora" else 0,
    }
    assert not [name for name, content in contents(out).items() if str(data).encode() in content]


def test_a_base_in_4_bits_is_another_run_than_one_that_is_not(whole: dict[str, Path]) -> None:
    first = [files.read_jsonl(out / "log.jsonl")[0]["loss"] for out in whole.values()]
    assert 1e-4 < abs(first[0] - first[1]) / first[0] < 0.1


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_export_is_the_stored_base_plus_scaled_products(
    data: Path, whole: dict[str, Path], exported: dict[str, Path], kind: str
) -> None:
    out = exported[kind]
    base, merged = load_file(data / "base" / "model.safetensors"), load_file(out / "model.safetensors")
    adapter = load_file(out / "adapter" / "adapter_model.safetensors")
    assert merged.keys() == base.keys()
    changed = 0
    for name, weight in base.items():
        place = name.removesuffix(".weight").replace("model.layers", "model.language_model.layers")
        down = adapter.get(f"base_model.model.{place}.lora_A.weight")
        up = adapter.get(f"base_model.model.{place}.lora_B.weight")
        if down is None or up is None:
            assert np.array_equal(merged[name], weight), name
        else:
            changed += 1
            assert np.abs(merged[name] - (weight + 16 / 8 * up @ down)).max() < 1e-6
    assert changed == 14
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert contents(out / "adapter")[name] == contents(whole[kind])[name]
    card = model_folder.read_card(out)
    assert card["merged"]["difference"] < 1e-5 < 0.1 < card["merged"]["effect"]
    assert card["step"] == STEPS


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_export_answers_like_any_model(data: Path, exported: dict[str, Path], tmp_path: Path, kind: str) -> None:
    out = tmp_path / "predictions.jsonl"
    asked = ["--samples", data / "samples.jsonl", "--frames-cache", data / "shard-0.jsonl", "--max-new-tokens", 8]
    call(predict, "--model", exported[kind], *asked, "--output", out)
    assert len(files.read_jsonl(out)) == 14


def test_a_half_precision_base_stays_one_when_adapters_are_merged(data: Path, tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "run"
    shutil.copytree(data / "base", base)
    weights = {name: tensor.bfloat16() for name, tensor in torch_load(base / "model.safetensors").items()}
    torch_save(weights, base / "model.safetensors", metadata={"format": "pt"})
    half = ["--model", base, "--use-lora", "--precision", "bf16", "--until-step", 4]
    assert train(data, out, *half) == cli.DONE
    export(tmp_path, out, tmp_path / "exported")
    found = model_folder.tensors(tmp_path / "exported")
    assert found == model_folder.tensors(base)
    assert {kind for kind, _ in found.values()} == {"BF16"}
    merged = model_folder.read_card(tmp_path / "exported")["merged"]
    assert merged["difference"] < 0.2 * merged["effect"]


def test_weights_that_are_whole_are_exported_without_the_model_libraries(data: Path, tmp_path: Path) -> None:
    full = ["--no-use-qlora", "--lora-dropout", 0.05, "--until-step", 1]
    assert train(data, tmp_path / "full", *full) == cli.DONE
    code = (
        "import sys, export_model as e; e.main(e.parser().parse_args(sys.argv[1:])); sys.exit('torch' in sys.modules)"
    )
    flags = ["--checkpoint", tmp_path / "full", "--base", data / "base", "--output", tmp_path / "exported"]
    subprocess.run([sys.executable, "-c", code, *map(str, flags)], cwd=SCRIPTS, check=True)
    assert not (tmp_path / "exported" / "adapter").exists()
    assert contents(tmp_path / "exported")["model.safetensors"] == contents(tmp_path / "full")["model.safetensors"]


def test_what_does_not_fit_is_neither_continued_nor_exported(
    data: Path, whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "1"
    assert train(data, first, "--use-lora", "--until-step", 2) == cli.DONE
    with pytest.raises(InputError, match="r was 8 in the segment before, now it is 4"):
        train(data, tmp_path / "2", "--use-lora", "--resume", first, "--r", 4)
    with pytest.raises(InputError, match="use_lora was True in the segment before, now it is False"):
        train(data, tmp_path / "2", "--use-qlora", "--resume", first)
    tensors = torch_load(first / "adapter_model.safetensors")
    lost = sorted(tensors)[5]
    torch_save({name: t for name, t in tensors.items() if name != lost}, first / "adapter_model.safetensors")
    with pytest.raises(InputError, match=f"1 adapter tensors do not fit the model: {lost}"):
        train(data, tmp_path / "2", "--use-lora", "--resume", first)
    with pytest.raises(InputError, match="1 adapter tensors do not fit the model"):
        export(data, first, tmp_path / "exported")
    monkeypatch.setattr("peft.tuners.lora.LoraModel.merge_and_unload", lambda self, **_: self.unload())
    with pytest.raises(SutureError, match="the merged model is not base and adapters"):
        export(data, whole["lora"], tmp_path / "exported")
    assert not (tmp_path / "2").exists()
    assert not (tmp_path / "exported").exists()


def test_checkpointed_activations_change_no_weight(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return torch.utils.checkpoint.checkpoint(*args, **kwargs)

    monkeypatch.setattr("transformers.modeling_utils.checkpoint", counted)
    outs = [tmp_path / "kept", tmp_path / "again"]
    for out, flag in zip(outs, ("--no-gradient-checkpointing", "--gradient-checkpointing"), strict=True):
        assert not calls
        assert train(data, out, "--use-qlora", "--until-step", 3, flag) == cli.DONE
    assert len(calls) >= 3 * 2 * 2  # steps, batches, layers
    assert contents(outs[0])["adapter_model.safetensors"] == contents(outs[1])["adapter_model.safetensors"]


def test_options_that_would_do_nothing_end_with_2_before_anything_is_loaded(data: Path, tmp_path: Path) -> None:
    flags = ["--family", "qwen2_5_vl", "--model", data / "base", "--train", data / "samples.jsonl", "--max-steps", 2]
    files_out = ["--frames-cache", data / "shard-0.jsonl", "--output", tmp_path / "out", "--work-dir", tmp_path / "w"]
    assert "`r` would do nothing" in run_script("train", *flags, *files_out, "--no-use-qlora", "--r", 4, code=2)
    assert "not both" in run_script("train", *flags, *files_out, "--use_qlora", "--use_lora", code=2)
