"""LoRA and its 4-bit base: what is adapted, what is quantised, what is refused."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit
from peft.tuners.lora import LoraLayer
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import (
    BitsAndBytesConfig,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    TrainerState,
)

from suture import cli
from suture.config.flags import add_flags, from_args, to_flags
from suture.config.training import Train
from suture.errors import ConfigError, InputError, SutureError
from suture.models import llava_next_video, qwen2_5_vl
from suture.models.base import Video
from suture.records import Turn
from suture.training import adapters, quantization
from suture.training.callbacks import NoneWithoutGradient, TrainingFailed
from suture.training.towers import tower_of

# Two layers, of each the inputs plus outputs: q 64+64, k 64+32, v 64+32, o 64+64, and three times 64+128.
PER_RANK = 2 * (128 + 96 + 96 + 128 + 3 * 192)

# config.json of Qwen/Qwen2.5-VL-7B-Instruct, where it is not the class's default.
SHAPE_7B = {
    "text_config": {
        "vocab_size": 152_064,
        "hidden_size": 3584,
        "intermediate_size": 18_944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
    "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584},
    "tie_word_embeddings": False,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models") / "base"
    qwen2_5_vl.build_small(folder)
    return folder


def options(**changed: Any) -> Train:
    return Train(**{"max_steps": 4, "steps_per_job": 4, "precision": "fp32", **changed})


def adapted(base: Path, **changed: Any) -> tuple[Any, dict[str, int]]:
    wanted = options(**changed)
    model = qwen2_5_vl.load(base, **adapters.base_options(wanted))
    return model, adapters.attach(model, wanted)


def adapted_names(model: Any) -> list[str]:
    return [n for n, module in model.model.get_base_model().named_modules() if isinstance(module, LoraLayer)]


def batch_of(model: Any) -> dict[str, torch.Tensor]:
    frames = np.random.default_rng(0).integers(0, 256, (4, 56, 56, 3), dtype=np.uint8)
    turns = [Turn(question="Which phase is shown?", answer="Incision.", kind="phase")]
    return model.collate([model.encode(turns, Video(frames=frames, frame_seconds=0.5))])


@pytest.mark.parametrize("adapter", ["use_lora", "use_qlora"])
def test_all_linear_is_the_language_model_and_no_more(base: Path, adapter: str) -> None:
    model, counts = adapted(base, **{adapter: True})
    names = adapted_names(model)
    assert len(names) == counts["adapted_layers"] == 14
    assert all(name.startswith("model.language_model.layers.") for name in names)
    assert counts["trainable"] == 8 * PER_RANK == 16_384
    assert counts["total"] == 443_200 + 16_384
    assert sum(p.numel() for p in model.model.parameters() if p.requires_grad) == counts["trainable"]


def test_the_published_model_has_as_many_adapters_as_others_count() -> None:
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**SHAPE_7B))
    layers = adapters.linear_layers(model)
    shape: Any = SimpleNamespace(language_model=qwen2_5_vl.LANGUAGE_MODEL, towers=qwen2_5_vl.TOWERS, unused=())
    expression = adapters.target_expression(shape, layers, options(use_lora=True))
    targets = [layers[name] for name in adapters.matched(model, layers, expression, "all-linear")]
    trainable = sum(8 * (layer.in_features + layer.out_features) for layer in targets)
    # LLaMA-Factory's log of Qwen2.5-VL-7B with rank 8 on all linear layers, tower and projector frozen:
    # "trainable params: 20,185,088 || all params: 8,312,351,744".
    assert (trainable, sum(p.numel() for p in model.parameters()) + trainable) == (20_185_088, 8_312_351_744)


def test_the_published_llava_has_as_many_adapters_as_others_count() -> None:
    # The class's own defaults are those of llava-hf/LLaVA-NeXT-Video-7B-hf, Vicuna's among them.
    with torch.device("meta"):
        model = LlavaNextVideoForConditionalGeneration(LlavaNextVideoConfig())
    towers = llava_next_video.TOWERS
    assert {tower_of(name, towers) for name, _ in model.named_parameters()} == set(towers)
    shape: Any = SimpleNamespace(language_model=llava_next_video.LANGUAGE_MODEL, towers=towers, unused=())
    layers = adapters.linear_layers(model)
    expression = adapters.target_expression(shape, layers, options(use_lora=True))
    targets = [layers[name] for name in adapters.matched(model, layers, expression, "all-linear")]
    # Rank 8 on all linear layers of a LLaMA-7B, as in many logs: "trainable params: 19,988,480".
    assert sum(8 * (layer.in_features + layer.out_features) for layer in targets) == 19_988_480
    assert len(targets) == 7 * 32


@pytest.mark.parametrize(
    ("targets", "ends", "layers"),
    [
        ("q_proj,v_proj", {"q_proj", "v_proj"}, 4),
        (r"re:model\.visual\..*\.qkv", {"qkv"}, 2),
        (r"re:.*layers\.1\.mlp\.(up|down)_proj", {"up_proj", "down_proj"}, 2),
    ],
)
def test_targets_by_name_and_expression(base: Path, targets: str, ends: set[str], layers: int) -> None:
    model, counts = adapted(base, use_lora=True, r=4, lora_targets=targets)
    assert {name.rsplit(".", 1)[-1] for name in adapted_names(model)} == ends
    assert counts["adapted_layers"] == layers


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("q_proj,w_proj", "no linear layer of the language model is named w_proj(.|\n)*down_proj, gate_proj"),
        ("qkv", "no linear layer of the language model is named qkv"),  # it is one of the vision tower's
        ("re:.*nothing", r"matches no layer(.|\n)*model.visual.blocks.N.attn.qkv"),
        ("re:.*", "matches 'the whole model'"),
        (r"re:.*norm", "is no inner linear layer"),
        ("re:lm_head", "'lm_head', which is no inner linear layer"),
    ],
)
def test_targets_that_are_not_there_are_named(base: Path, targets: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        adapted(base, use_lora=True, lora_targets=targets)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"use_lora": True, "use_qlora": True}, "not both"),
        ({"r": 16}, "`r` would do nothing: add use_lora"),
        ({"lora_dropout": 0.1, "lora_targets": "q_proj"}, "`lora_dropout`, `lora_targets` would do nothing"),
        ({"use_lora": True, "lora_targets": "re:(q"}, "no regular expression"),
        ({"use_lora": True, "lora_targets": "q_proj, v_proj"}, "is not all-linear"),
        ({"use_lora": True, "lora_targets": ""}, "is not all-linear"),
    ],
)
def test_options_that_would_be_ignored_or_cannot_be_read_are_refused(given: dict[str, Any], message: str) -> None:
    assert options(use_qlora=True, r=16, lora_targets="q_proj,v_proj").adapter == "qlora"
    with pytest.raises(ValidationError, match=message):
        options(**given)


def test_flags_carry_any_target_through_a_shell() -> None:
    wanted = options(use_lora=True, lora_targets=r"re:model\.language_model\..*\.(q|v)_proj$")
    parser = cli.Parser("")
    add_flags(parser, Train)
    assert from_args(parser.parse_args(shlex.split(to_flags(wanted))), Train) == wanted
    assert from_args(parser.parse_args(shlex.split(to_flags(options()))), Train) == options()
    published = parser.parse_args(["--max_steps", "9", "--steps_per_job", "9", "--use_qlora", "--lora_alpha", "8"])
    assert from_args(published, Train).model_dump()["lora_alpha"] == 8
    with pytest.raises(ConfigError, match=r"--lora-dropout .*less than 1"):
        from_args(parser.parse_args([*shlex.split(to_flags(wanted)), "--lora-dropout", "1.5"]), Train)


# The 16 values of NF4: appendix E of the QLoRA paper, arxiv.org/abs/2305.14314.
NF4 = np.fromstring(
    """-1.0 -0.6961928009986877 -0.5250730514526367 -0.39491748809814453 -0.28444138169288635 -0.18477343022823334
    -0.09105003625154495 0.0 0.07958029955625534 0.16093020141124725 0.24611230194568634 0.33791524171829224
    0.44070982933044434 0.5626170039176941 0.7229568362236023 1.0""",
    sep=" ",
)


def test_the_language_model_and_nothing_else_is_nf4_of_the_stored_weights(base: Path) -> None:
    model, counts = adapted(base, use_qlora=True, precision="bf16")
    modules = dict(model.model.get_base_model().named_modules())
    quantized = {n: m for n, m in modules.items() if isinstance(m, Linear4bit) and not isinstance(m, LoraLayer)}
    assert len(quantized) == counts["quantized_layers"] == 14
    assert all(name.startswith("model.language_model.") for name in quantized)
    assert type(modules["lm_head"]) is torch.nn.Linear
    assert {layer.compute_dtype for layer in quantized.values()} == {torch.bfloat16}
    name = "model.language_model.layers.1.mlp.up_proj"
    layer = modules[name + ".base_layer"]
    held = dequantize_4bit(layer.weight.data, layer.weight.quant_state).float().numpy()
    stored = load_file(base / "model.safetensors")["model.layers.1.mlp.up_proj.weight"].bfloat16().float().numpy()
    blocks = stored.reshape(-1, 64)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    nearest = np.abs(blocks[..., None] / largest[..., None] - NF4).argmin(axis=-1)
    assert np.abs(held.reshape(-1, 64) - NF4[nearest] * largest).max() < 0.02 * largest.max()  # double quantisation
    assert np.abs(held - stored).max() > 0.05 * largest.max()  # it is no copy


def test_a_base_that_is_not_quantised_as_asked_is_refused(base: Path) -> None:
    # The published script's options: no load_in_4bit, and a misspelt compute dtype.
    published = BitsAndBytesConfig(
        bnb_4bit_use_double_quant=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_type=torch.bfloat16
    )
    found = qwen2_5_vl.load(base, quantization=published)
    with pytest.raises(SutureError, match=r"computing in torch.float32; asked for: nf4, True, torch.bfloat16"):
        quantization.settle(found.model, found.language_model, torch.bfloat16)
    plain = qwen2_5_vl.load(base)
    with pytest.raises(SutureError, match="0 layers are in 4 bits, 14 should be"):
        quantization.settle(plain.model, plain.language_model, torch.bfloat16)


def test_adapters_are_trained_the_same_after_an_evaluation(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a CPU with avx512_bf16, where bitsandbytes lays weights out anew in evaluation.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    gradients = []
    for evaluate in (False, True):
        model, _ = adapted(base, use_qlora=True)
        batch = batch_of(model)
        if evaluate:
            model.model.eval()
            with torch.no_grad():
                model.loss(model.model, batch, None)
        model.model.train()
        torch.manual_seed(3)
        model.loss(model.model, batch, None).backward()
        gradients.append({n: p.grad for n, p in model.model.named_parameters() if p.requires_grad})
    fresh, evaluated = gradients
    assert len(fresh) == 28
    assert all(gradient is not None for gradient in [*fresh.values(), *evaluated.values()])
    assert all(torch.equal(fresh[name], evaluated[name]) for name in fresh)
    assert all(gradient.abs().max() > 0 for name, gradient in evaluated.items() if "lora_B" in name)


def test_a_parameter_without_a_gradient_fails_the_run(base: Path) -> None:
    model, _ = adapted(base, use_lora=True)
    model.loss(model.model, batch_of(model), None).backward()
    watch, state = NoneWithoutGradient(), TrainerState(global_step=6)
    watch.on_pre_optimizer_step(None, state, None, model=model.model)
    lost = "layers.1.mlp.up_proj.lora_B.default.weight"
    next(p for name, p in model.model.named_parameters() if name.endswith(lost)).grad = None
    with pytest.raises(TrainingFailed, match=r"1 of 28 trained parameters got no gradient at step 7: .*up_proj.lora_B"):
        watch.on_pre_optimizer_step(None, state, None, model=model.model)


def test_a_base_is_held_in_what_it_computes_in_and_adapters_in_single_precision(base: Path) -> None:
    model, _ = adapted(base, use_lora=True, precision="bf16")
    held = {p.requires_grad: p.dtype for p in model.model.parameters()}
    assert held == {False: torch.bfloat16, True: torch.float32}
    assert "dtype" not in adapters.base_options(options(precision="bf16"))  # full training holds single precision
    assert adapters.base_options(options(precision="fp16", use_lora=True))["dtype"] == torch.float32


def test_adapters_are_restored_whole_or_not_at_all(base: Path, tmp_path: Path) -> None:
    model, _ = adapted(base, use_lora=True, seed=1)
    other, _ = adapted(base, use_lora=True, seed=2)
    smaller, _ = adapted(base, use_lora=True, r=4)
    fewer, _ = adapted(base, use_lora=True, lora_targets="q_proj")
    adapters.save(model.model, tmp_path)
    saved = load_file(tmp_path / adapters.WEIGHTS)
    assert len(saved) == 28
    assert str(base) not in (tmp_path / adapters.CONFIG).read_text()
    adapters.restore(other.model, tmp_path)
    adapters.save(other.model, tmp_path / "again")
    assert (tmp_path / "again" / adapters.WEIGHTS).read_bytes() == (tmp_path / adapters.WEIGHTS).read_bytes()
    for wrong, count in ((smaller, 28), (fewer, 24)):
        with pytest.raises(InputError, match=f"{count} adapter tensors do not fit"):
            adapters.restore(wrong.model, tmp_path)
    with pytest.raises(InputError, match=r"no adapter_model.safetensors"):
        adapters.restore(model.model, base)


def test_an_attention_that_is_not_there_is_replaced_and_it_is_said_why(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = options(precision="bf16", attention="flash_attention_2")
    assert adapters.base_options(wanted) == {"attention": "sdpa"}
    assert "attention: sdpa instead of flash_attention_2: flash attention needs a GPU" in capsys.readouterr().out
    assert adapters.base_options(options(attention="eager")) == {"attention": "eager"}
    assert capsys.readouterr().out == ""
