"""LLaVA-Med: both own layouts converted, equal in what they compute, and what is trained of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suture import libraries
from suture.config.training import Train, with_family_defaults
from suture.errors import InputError
from suture.models.base import Video
from suture.records import Turn

libraries.prepare(threads=1)

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from torch.nn.functional import gelu  # noqa: E402
from transformers import (  # noqa: E402
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)

from suture import llava_layouts  # noqa: E402
from suture.models import llava_med  # noqa: E402
from suture.training import adapters  # noqa: E402
from suture.training.loop import prepare  # noqa: E402

WIDTH, SIDE, PATCH = 32, 28, 14
WORDS = ["what", "is", "seen", "lungs", "clear", "heart", "large"]
QUESTION = Turn(question="what is seen", answer="lungs clear", kind="report")


def tokens(first: bool) -> PreTrainedTokenizerFast:
    special = ["<unk>", "<s>", "</s>", "[PAD]"]
    vocabulary = {word: at for at, word in enumerate([*special, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="[PAD]"
    )
    if first:
        made.add_tokens(["<im_patch>", "<im_start>", "<im_end>"], special_tokens=True)
    return made


def original(folder: Path, *, first: bool) -> tuple[Any, Any, dict[str, torch.Tensor]]:
    """Writes a checkpoint in LLaVA-Med's own layout: 1.0 (LLaMA, linear, no tower) or 1.5 (Mistral, MLP, tower)."""
    torch.manual_seed(3)
    tokenizer = tokens(first)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if first else 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "tie_word_embeddings": False,
    }
    text = LlamaForCausalLM(LlamaConfig(**shape)) if first else MistralForCausalLM(MistralConfig(**shape))
    look = CLIPVisionConfig(
        image_size=SIDE, patch_size=PATCH, hidden_size=16, intermediate_size=24, num_hidden_layers=3,
        num_attention_heads=2, projection_dim=8,
    )  # fmt: skip
    vision = CLIPVisionModel(look)
    vision.save_pretrained(folder / "clip")
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIDE).save_pretrained(folder / "clip")
    of_clip = {f"vision_model.{n.removeprefix('vision_model.')}": t for n, t in vision.state_dict().items()}
    save_file({n: t.contiguous() for n, t in of_clip.items()}, folder / "clip" / "model.safetensors")
    if first:
        projector = {"model.mm_projector.weight": torch.randn(WIDTH, 16), "model.mm_projector.bias": torch.randn(WIDTH)}
    else:
        projector = {
            "model.mm_projector.0.weight": torch.randn(WIDTH, 16) / 4,
            "model.mm_projector.0.bias": torch.randn(WIDTH),
            "model.mm_projector.2.weight": torch.randn(WIDTH, WIDTH) / 4,
            "model.mm_projector.2.bias": torch.randn(WIDTH),
        }
    tower = {} if first else {f"model.vision_tower.vision_tower.{n}": t for n, t in of_clip.items()}
    own = folder / "own"
    own.mkdir(parents=True)
    torch.save({**text.state_dict(), **projector, **tower}, own / "pytorch_model.bin")
    config = {
        **shape,
        "model_type": "llava" if first else "llava_mistral",
        "mm_vision_tower": "openai/clip-vit-large-patch14",
        "mm_vision_select_layer": -2,
        "mm_hidden_size": 16,
        "torch_dtype": "float32",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 3,
    }
    (own / "config.json").write_text(json.dumps(config))
    tokenizer.save_pretrained(own)
    return text.eval(), vision.eval(), projector


@torch.no_grad()
def own_logits(text: Any, vision: Any, projector: dict[str, torch.Tensor], ids: list[int], pixels: Any, at: int) -> Any:
    """What LLaVA-Med's own code computes: layer -2 without its class token, projected, in place of the placeholders."""
    seen = vision(pixels, output_hidden_states=True).hidden_states[-2][0, 1:]
    if "model.mm_projector.weight" in projector:
        seen = seen @ projector["model.mm_projector.weight"].T + projector["model.mm_projector.bias"]
    else:
        inner = gelu(seen @ projector["model.mm_projector.0.weight"].T + projector["model.mm_projector.0.bias"])
        seen = inner @ projector["model.mm_projector.2.weight"].T + projector["model.mm_projector.2.bias"]
    known = torch.tensor([0 if at <= place < at + len(seen) else one for place, one in enumerate(ids)])
    embeds = text.get_input_embeddings()(known)
    embeds[at : at + len(seen)] = seen
    return text(inputs_embeds=embeds[None]).logits[0]


@pytest.mark.parametrize("first", [True, False])
def test_a_checkpoint_in_the_own_layout_computes_the_same_once_converted(tmp_path: Path, first: bool) -> None:
    text, vision, projector = original(tmp_path, first=first)
    found = llava_layouts.convert(tmp_path / "own", tmp_path / "clip", tmp_path / "out")
    assert (found["projector"], found["language"]) == (("linear", "llama") if first else ("mlp", "mistral"))
    model = llava_med.load(tmp_path / "out")
    shown = Video(frames=np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8))
    example = model.encode([QUESTION], shown)
    batch = model.collate([example])
    with torch.no_grad():
        made = model.model.eval()(**model.inputs(batch)).logits[0]
    at = example.input_ids.index(model.model.config.image_token_id)
    own = own_logits(text, vision, projector, example.input_ids, example.media["pixel_values"], at)
    assert own.std() > 0.1
    assert torch.allclose(made[:, : own.shape[1]], own, atol=1e-5)
    if first:
        start, end = model.tokenizer.convert_tokens_to_ids(["<im_start>", "<im_end>"])
        patches = (SIDE // PATCH) ** 2
        assert (example.input_ids[at - 1], example.input_ids[at + patches]) == (start, end)
    else:
        # The row that was added for the image is never what is said.
        assert own.shape[1] + 1 == made.shape[1]
        assert not (made.argmax(-1) == own.shape[1]).any()


def test_what_is_no_such_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    original(tmp_path, first=True)
    own = tmp_path / "own"
    weights = torch.load(own / "pytorch_model.bin", weights_only=True)
    torch.save({**weights, "model.resampler.weight": torch.zeros(2)}, own / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"model\.resampler\.weight has no place"):
        llava_layouts.convert(own, tmp_path / "clip", tmp_path / "out")
    with pytest.raises(InputError, match="vision tower is needed: openai/clip-vit-large-patch14"):
        llava_layouts.convert(own, None, tmp_path / "out")
    with pytest.raises(InputError, match="no checkpoint in LLaVA-Med's own layout"):
        llava_layouts.convert(tmp_path / "clip", tmp_path / "clip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llava_med") / "small"
    llava_med.build_small(folder)
    return folder


def still(n: int = 1) -> Video:
    return Video(frames=np.random.default_rng(1).integers(0, 256, (n, 56, 56, 3), dtype=np.uint8))


def test_the_published_words_around_question_image_and_answer(small: Path) -> None:
    model = llava_med.load(small)
    said = model.tokenizer.decode(model.encode([QUESTION], still()).input_ids)
    assert said.startswith("<s>You are LLaVA-Med")
    image = "<im_start>" + "<im_patch>" * 16 + "<im_end>"
    assert said.endswith(f"\n\n### Human: what is seen\n{image}\n### Assistant: lungs clear\n###</s>")
    example = model.encode([QUESTION], still(2))
    assert example.input_ids.count(model.model.config.image_token_id) == 32
    assert model.tokenizer.decode([one for one in example.labels if one >= 0]) == " lungs clear\n###</s>"


@pytest.mark.parametrize("rows", [False, True])
def test_tune_mm_mlp_adapter_trains_the_projector_and_the_rows_around_the_image(small: Path, rows: bool) -> None:
    model = llava_med.load(small)
    options = Train(max_steps=1, steps_per_job=1, precision="fp32", tune_mm_mlp_adapter=True, mm_use_im_start_end=rows)
    counts = prepare(model, options)
    assert counts["trainable"] == 64 * 64 + 64 + (2 * 64 if rows else 0)
    before = {name: parameter.detach().clone() for name, parameter in model.model.named_parameters()}
    trained = [parameter for parameter in model.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.1, weight_decay=0.0)
    model.loss(model.model, model.collate([model.encode([QUESTION], still())]), None).backward()
    optimizer.step()
    changed = {n for n, parameter in model.model.named_parameters() if not torch.equal(parameter, before[n])}
    first = {f"{llava_med.PROJECTOR}.linear_1.{one}" for one in ("weight", "bias")}
    embedding = "model.language_model.embed_tokens.weight"
    assert changed == (first | {embedding} if rows else first)
    if rows:
        now = model.model.get_input_embeddings().weight
        assert set((now != before[embedding]).any(dim=1).nonzero().flatten().tolist()) == set(model.new_tokens)


def of_family(**given: Any) -> Train:
    return Train(**with_family_defaults({"max_steps": 8, "steps_per_job": 8, **given}, llava_med.TRAIN_DEFAULTS))


def test_what_nothing_is_said_about_is_as_published() -> None:
    options = of_family()
    assert (options.samples_per_step, options.learning_rate, options.frozen) == (128, 2e-5, ("vision",))
    assert of_family(tune_mm_mlp_adapter=True, mm_use_im_start_end=True).frozen == ("vision", "language")
    # The same with adapters is no contradiction.
    assert of_family(use_lora=True).frozen == () == of_family(use_qlora=True).frozen
    with pytest.raises(ValueError, match="adapters leave the base"):
        of_family(use_lora=True, freeze_vision=True)


def logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.model.eval()(**model.inputs(batch)).logits
    return found


@pytest.mark.parametrize("kind", ["use_lora", "use_qlora"])
def test_adapters_of_the_language_model_learn_and_are_loaded_again(small: Path, tmp_path: Path, kind: str) -> None:
    options = of_family(precision="fp32", lora_dropout=0.0, **{kind: True})
    model = llava_med.load(small, **adapters.base_options(options))
    counts = prepare(model, options)
    # Two layers of seven matrices: q, k, v, o 64+64 each, and three times 64+128.
    assert (counts["adapted_layers"], counts["trainable"]) == (14, 8 * 2 * (4 * 128 + 3 * 192))
    assert counts["quantized_layers"] == (14 if kind == "use_qlora" else 0)
    batch = model.collate([model.encode([QUESTION], still())])
    before = logits(model, batch)
    optimizer = torch.optim.AdamW([one for one in model.model.parameters() if one.requires_grad], lr=0.02)
    losses = []
    for _ in range(options.max_steps):
        optimizer.zero_grad()
        loss = model.loss(model.model, batch, None)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    learnt = logits(model, batch)
    adapters.save(model.model, tmp_path)
    again = llava_med.load(small, **adapters.base_options(options))
    prepare(again, options)
    assert torch.equal(logits(again, batch), before)
    adapters.restore(again.model, tmp_path)
    assert torch.equal(logits(again, batch), learnt)


def test_a_published_models_end_is_an_end_here(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from suture.config.generation import Generation
    from suture.models.base import Reply
    from suture.vision_language import VisionLanguageModel

    model = llava_med.load(small)
    cut = [Reply(text="Lungs clear.\n### Human: and", truncated=True), Reply(text="Lungs", truncated=True)]
    monkeypatch.setattr(VisionLanguageModel, "generate", lambda *_: cut)
    replies = model.generate({}, Generation(), [])
    assert [(one.text, one.truncated) for one in replies] == [("Lungs clear.", False), ("Lungs", True)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"mm_use_im_start_end": True}, "add tune_mm_mlp_adapter"),
        ({"tune_mm_mlp_adapter": True, "use_lora": True}, "adapters leave the base"),
        ({"tune_mm_mlp_adapter": True, "mm_use_im_start_end": True, "weight_decay": 0.1}, "shrink the rows"),
        ({"tune_mm_mlp_adapter": True, "mm_use_im_start_end": True, "fsdp": True}, "shares the embedding out"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Train(max_steps=1, steps_per_job=1, **given)
