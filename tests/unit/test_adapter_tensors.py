"""Adapters made with former versions of the library: their names, and what they do to the weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from suture import libraries, registry
from suture.errors import InputError

libraries.prepare(threads=1)

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from suture.adapter_tensors import put_on  # noqa: E402
from suture.merging import logits  # noqa: E402

R, ALPHA = 4, 12

# Where transformers 4.49 had the modules that are now `model.language_model` and `model.vision_tower`.
# LLaVA's targets are those of the published script: names of the language model's layers, three of which the
# vision tower has too.
FORMER: dict[str, dict[str, str]] = {
    "qwen2_5_vl": {"model.layers.{}.self_attn.{}": "q_proj v_proj"},
    "llava_next_video": {
        "language_model.model.layers.{}.self_attn.{}": "q_proj k_proj v_proj o_proj",
        "language_model.model.layers.{}.mlp.{}": "gate_proj up_proj down_proj",
        "vision_tower.vision_model.encoder.layers.{}.self_attn.{}": "q_proj k_proj v_proj",
    },
}
TODAY = {
    "model.layers": "model.language_model.layers",
    "language_model.model.": "model.language_model.",
    "vision_tower.vision_model.": "model.vision_tower.",
}


@pytest.fixture(scope="module", params=sorted(FORMER))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def base(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(family) / "base"
    registry.family(family).build_small(folder)
    return folder


def load(family: str, base: Path) -> Any:
    return registry.family(family).load(base)


def today(former: str) -> str:
    return next(new + former.removeprefix(old) for old, new in TODAY.items() if former.startswith(old))


@pytest.fixture(scope="module")
def published(family: str, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter as the published ones are: the names of transformers 4.49, a list of layer names."""
    parameters = dict(load(family, base).model.named_parameters())
    random = torch.Generator().manual_seed(1)
    tensors = {}
    for pattern, names in FORMER[family].items():
        for number in range(3 if "vision" in pattern else 2):
            for name in names.split():
                former = pattern.format(number, name)
                rows, columns = parameters[f"{today(former)}.weight"].shape
                for half, shape in (("A", (R, columns)), ("B", (rows, R))):
                    tensor = torch.randn(shape, generator=random) / 10
                    tensors[f"base_model.model.{former}.lora_{half}.weight"] = tensor
    folder = tmp_path_factory.mktemp("adapter")
    save_file(tensors, folder / "adapter_model.safetensors")
    layers = {name for names in FORMER[family].values() for name in names.split()}
    write_config(folder, target_modules=sorted(layers), base_model_name_or_path="Qwen/Qwen2.5-VL-7B-Instruct")
    return folder


def write_config(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    whole = {"peft_type": "LORA", "r": R, "lora_alpha": ALPHA, "init_lora_weights": "gaussian", "inference_mode": True}
    path.write_text(json.dumps(whole | before | changes))


def changed(published: Path, folder: Path, change: Callable[[dict[str, torch.Tensor]], Any], **config: Any) -> Path:
    """Copies an adapter with its tensors changed."""
    folder.mkdir()
    tensors = load_file(published / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_bytes((published / "adapter_config.json").read_bytes())
    write_config(folder, **config)
    return folder


@pytest.fixture(scope="module")
def expected(family: str, base: Path, published: Path) -> torch.Tensor:
    """Logits of the model whose weights are W + alpha / r * B A (Hu et al. 2021, LoRA), computed here."""
    model = load(family, base)
    parameters = dict(model.model.named_parameters())
    tensors = load_file(published / "adapter_model.safetensors")
    with torch.no_grad():
        for name, down in tensors.items():
            if ".lora_A." in name:
                up = tensors[name.replace("lora_A", "lora_B")]
                former = name.removeprefix("base_model.model.").partition(".lora_")[0]
                parameters[f"{today(former)}.weight"] += ALPHA / R * up @ down
    return logits(model, [4, 56, 56])


def test_an_adapter_with_former_names_changes_the_weights_it_was_trained_beside(
    family: str, base: Path, published: Path, expected: torch.Tensor
) -> None:
    model = load(family, base)
    plain = logits(model, [4, 56, 56])
    said = put_on(model, published)
    n = len(load_file(published / "adapter_model.safetensors"))
    assert said == f"{n} tensors matched ({n} by a former name), 0 missing, 0 unexpected"
    found = logits(model, [4, 56, 56])
    assert (found - plain).abs().max() > 0.1 * plain.abs().max()
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_a_pickled_adapter_is_read_as_tensors_and_nothing_else(
    family: str, base: Path, published: Path, expected: torch.Tensor, tmp_path: Path
) -> None:
    write_config(tmp_path, **json.loads((published / "adapter_config.json").read_text()))
    torch.save(load_file(published / "adapter_model.safetensors"), tmp_path / "adapter_model.bin")
    model = load(family, base)
    put_on(model, tmp_path)
    assert (logits(model, [4, 56, 56]) - expected).abs().max() < 1e-4 * expected.abs().max()

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"a": Evil()}, tmp_path / "adapter_model.bin")
    with pytest.raises(InputError, match="cannot be read"):
        put_on(load(family, base), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_targets_in_whole_former_names_are_found_by_the_tensors(
    family: str, base: Path, published: Path, expected: torch.Tensor, tmp_path: Path
) -> None:
    for number, targets in enumerate(
        [r"(language_model\.)?(vision_model\.)?model\.layers\..*proj", ["model.layers.0"]]
    ):
        folder = changed(published, tmp_path / str(number), lambda tensors: None, target_modules=targets)
        model = load(family, base)
        put_on(model, folder)
        assert (logits(model, [4, 56, 56]) - expected).abs().max() < 1e-4 * expected.abs().max()


def test_what_does_not_fit_to_the_last_tensor_is_refused_by_name(
    family: str, base: Path, published: Path, tmp_path: Path
) -> None:
    names = sorted(load_file(published / "adapter_model.safetensors"))
    name, n = next(name for name in names if "q_proj.lora_A" in name), len(names)

    def refused(match: str, change: Callable[[dict[str, torch.Tensor]], Any], **config: Any) -> None:
        folder = changed(published, tmp_path / str(len(list(tmp_path.iterdir()))), change, **config)
        with pytest.raises(InputError, match=match):
            put_on(load(family, base), folder)

    refused(
        rf"{n - 1} tensors matched, 1 missing, 1 unexpected; missing: .*q_proj\.lora_A\.weight; unexpected: .*r_proj",
        lambda tensors: tensors.update({name.replace("q_proj", "r_proj"): tensors.pop(name)}),
    )
    refused(f"{n - 1} tensors matched, 1 missing, 0 unexpected", lambda tensors: tensors.pop(name))
    refused(
        f"{n - 2} tensors matched, 2 missing, 0 unexpected",
        lambda tensors: [tensors.pop(name), tensors.pop(name.replace("lora_A", "lora_B"))],
    )
    refused(
        f"{n - 1} tensors matched, 1 missing, 1", lambda tensors: tensors.update({name: tensors[name][:, 1:].clone()})
    )
    refused(
        f"0 tensors matched, 0 missing, {n} unexpected",
        lambda tensors: [tensors.update({f"transformer.h.{key}": tensors.pop(key)}) for key in list(tensors)],
    )
    refused("'layers.7.mlp' in rank_pattern or alpha_pattern", lambda tensors: None, alpha_pattern={"layers.7.mlp": 2})
