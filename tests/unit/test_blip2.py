"""BLIP-2: what its decoder is given, what it learns, and how FADA asked it (suture/models/blip2.py)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from suture import libraries
from suture.config.generation import Generation
from suture.config.training import Train, with_family_defaults
from suture.datasets.fetal_ultrasound.questions import STANDARD
from suture.errors import InputError
from suture.models.base import Video
from suture.records import Turn

libraries.prepare(threads=1)

import torch  # noqa: E402
from bitsandbytes.nn.modules import Linear8bitLt  # noqa: E402
from transformers import AutoProcessor, Blip2Config, Blip2ForConditionalGeneration  # noqa: E402

from suture.models import blip2  # noqa: E402
from suture.training import adapters  # noqa: E402

TURN = Turn(question=STANDARD[0].text, answer="liver, stomach and spine", kind="anatomy")
SHORT = Turn(question="?", answer="no", kind="x")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blip2") / "small"
    blip2.build_small(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> blip2.Blip2:
    return blip2.load(folder)


def still(seed: int = 0) -> Video:
    return Video(frames=np.random.default_rng(seed).integers(0, 256, (1, 56, 56, 3), dtype=np.uint8))


def options(**given: Any) -> Train:
    steps = {"max_steps": 1, "steps_per_job": 1, "precision": "fp32"}
    return Train.model_validate(with_family_defaults({**steps, **given}, blip2.TRAIN_DEFAULTS))


def test_inputs_are_those_of_the_librarys_processor(model: blip2.Blip2, folder: Path) -> None:
    shown = still()
    processor = AutoProcessor.from_pretrained(folder)
    asked = f"Question: {TURN.question} Answer:"
    theirs = processor(images=Image.fromarray(shown.frames[0]), text=asked, return_tensors="pt")
    ours = model.collate([model.encode([TURN], shown, for_reply=True)])
    assert torch.equal(ours["input_ids"], theirs["input_ids"])
    assert (ours["pixel_values"] - theirs["pixel_values"]).abs().max() <= 5e-7


def test_the_decoder_is_given_question_and_answer_and_learns_the_answer_and_its_end(model: blip2.Blip2) -> None:
    given: list[torch.Tensor] = []
    hook = model.model.get_input_embeddings().register_forward_hook(lambda _m, ids, _o: given.append(ids[0]))
    try:
        batch = model.collate([model.encode([TURN], still()), model.encode([SHORT], still())])
        model.loss(model.model, batch, None)
    finally:
        hook.remove()
    tokenizer = model.tokenizer
    answer = [*tokenizer(f" {TURN.answer}", add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    (ids,) = given
    long = batch["attention_mask"][0].sum()
    assert ids[0, long - len(answer) : long].tolist() == answer == [i for i in batch["labels"][0].tolist() if i >= 0]
    assert batch["labels"][0, long - len(answer) : long].tolist() == answer
    # The second is shorter: nothing is learnt on its padding.
    assert set(batch["labels"][1, batch["attention_mask"][1] == 0].tolist()) == {-100}


def test_an_answer_ends_as_the_models_configuration_says(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "line"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    line_break = json.loads((other / "tokenizer.json").read_text())["model"]["vocab"]["\u010a"]
    config["text_config"]["eos_token_id"] = line_break
    (other / "config.json").write_text(json.dumps(config))
    loaded = blip2.load(other)
    learnt = [label for label in loaded.encode([TURN, TURN], still()).labels if label != -100]
    assert loaded.tokenizer.decode(learnt) == f" {TURN.answer}\n {TURN.answer}\n"
    assert learnt[-1] == line_break


NAMES = ["liver", "stomach", "spine", "femur", "heart", "cervix", "kidney", "brain"]


def learn_eight(loaded: blip2.Blip2, names: list[str], steps: int, learning_rate: float) -> list[float]:
    """Learns one question about eight images, whose answers the images alone tell; returns the losses."""
    batch = loaded.collate(
        [
            loaded.encode([Turn(question=STANDARD[0].text, answer=name, kind="anatomy")], still(seed))
            for seed, name in enumerate(names)
        ]
    )
    trained = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=learning_rate)
    losses = []
    for _ in range(steps):
        loss = loaded.loss(loaded.model, batch, None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    prompts = [
        loaded.encode([Turn(question=STANDARD[0].text, answer="", kind="x")], still(seed), for_reply=True)
        for seed in range(8)
    ]
    replies = loaded.generate(loaded.collate(prompts, pad_left=True), Generation(max_new_tokens=8), [0] * 8)
    assert [reply.text for reply in replies] == names, losses[::10]
    return losses


def test_the_loss_falls_to_near_zero_on_eight_images(folder: Path) -> None:
    loaded = blip2.load(folder)
    losses = learn_eight(loaded, NAMES, 70, 3e-3)
    assert losses[0] > 4 and losses[-1] < 0.05
    # A random base gives adapters nothing to hold on to; this one knows the words, and learns other answers.
    adapters.attach(loaded, options(use_qlora=False, use_lora=True))
    losses = learn_eight(loaded, [*NAMES[1:], NAMES[0]], 120, 1e-2)
    assert losses[0] > 2 and losses[-1] < 0.1


def test_adapters_are_on_q_and_v_of_the_language_model_alone_and_as_many_as_published() -> None:
    config = Blip2Config(
        text_config={
            "model_type": "opt",
            "hidden_size": 2560,
            "word_embed_proj_dim": 2560,
            "ffn_dim": 10240,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "vocab_size": 50304,
        }
    )
    with torch.device("meta"):
        module = Blip2ForConditionalGeneration(config)
    stand_in = type("", (), {"unused": (), "language_model": blip2.LANGUAGE_MODEL, "towers": blip2.TOWERS})()
    layers = adapters.linear_layers(module)
    expression = adapters.target_expression(stand_in, layers, options(use_qlora=False, use_lora=True))
    names = adapters.matched(module, layers, expression, "")
    assert len(names) == 64 and {name.rsplit(".", 1)[1] for name in names} == {"q_proj", "v_proj"}
    assert all(name.startswith("language_model.model.decoder.layers.") for name in names)
    # As the published notebook printed it.
    assert sum(8 * (layers[name].in_features + layers[name].out_features) for name in names) == 2_621_440


def test_eight_bits_by_option(folder: Path) -> None:
    chosen = options()
    assert (chosen.bits, chosen.r, chosen.lora_alpha, chosen.lora_dropout) == (8, 8, 16, 0.05)
    loaded = blip2.load(folder, **adapters.base_options(chosen))
    counts = adapters.attach(loaded, chosen)
    eight = [name for name, module in loaded.model.named_modules() if type(module) is Linear8bitLt]
    assert counts["quantized_layers"] == len(eight) == 12
    assert all("language_model.model.decoder" in name for name in eight)
    loss = loaded.loss(loaded.model, loaded.collate([loaded.encode([TURN], still())]), None)
    loss.backward()
    gradients = [p.grad for n, p in loaded.model.named_parameters() if p.requires_grad and "lora_B" in n]
    assert gradients and all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    with pytest.raises(ValueError, match="`bits` would do nothing"):
        Train.model_validate({"max_steps": 1, "steps_per_job": 1, "use_lora": True, "bits": 8})


def test_the_published_settings_are_the_librarys_own_search(folder: Path, model: blip2.Blip2) -> None:
    settings = Generation(**blip2.PUBLISHED["generation"])
    assert (settings.num_beams, settings.max_new_tokens) == (3, 100)
    few = settings.model_copy(update={"max_new_tokens": 12})
    prompt = model.collate([model.encode([TURN], still(), for_reply=True)], pad_left=True)
    (reply,) = model.generate(prompt, few, [0])
    theirs = Blip2ForConditionalGeneration.from_pretrained(folder).generate(
        **{name: value for name, value in prompt.items() if name != "labels"},
        max_new_tokens=12,
        min_new_tokens=5,
        num_beams=3,
        no_repeat_ngram_size=3,
        repetition_penalty=1.2,
        do_sample=False,
        early_stopping=True,
    )
    said = theirs[0, prompt["input_ids"].shape[1] :]
    assert model.tokenizer.decode(said, skip_special_tokens=True).strip() == reply.text
    with pytest.raises(ValueError, match="leave one of them out"):
        Generation(num_beams=2, temperature=0.5)


def test_a_beam_of_a_row_does_not_depend_on_its_neighbours(model: blip2.Blip2) -> None:
    settings = Generation(num_beams=3, max_new_tokens=8, repetition_penalty=1.5)
    other = Turn(question="What is it?", answer="", kind="x")
    prompts = [model.encode([turn], still(seed), for_reply=True) for seed, turn in enumerate((TURN, other))]
    together = model.generate(model.collate(prompts, pad_left=True), settings, [0, 0])
    alone = [model.generate(model.collate([prompt], pad_left=True), settings, [0])[0] for prompt in prompts]
    assert together == alone


def test_an_encoder_decoder_is_refused(folder: Path, tmp_path: Path) -> None:
    config = Blip2Config(
        text_config={"model_type": "t5", "d_model": 16, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2},
        vision_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        qformer_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "vocab_size": 4,
        },
    )
    Blip2ForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="an encoder and a decoder"):
        blip2.load(tmp_path)


def test_a_folder_from_before_the_image_token_is_read_too(folder: Path, tmp_path: Path, model: blip2.Blip2) -> None:
    other = tmp_path / "older"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    del config["image_token_index"]
    (other / "config.json").write_text(json.dumps(config))
    assert blip2.load(other).encode([TURN], still()).input_ids == model.encode([TURN], still()).input_ids
