"""The LLaVA-NeXT-Video family against the published conversation, tokenizer, folder and configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suture import chat, libraries, small_tokenizer
from suture.errors import InputError
from suture.records import Turn

libraries.prepare(threads=1)

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: E402
from transformers import AutoModelForImageTextToText, AutoProcessor, LlamaTokenizer, LlavaNextVideoConfig  # noqa: E402

from suture.models import llava_next_video  # noqa: E402
from suture.models.base import Video  # noqa: E402
from suture.models.llava_next_video import LlavaNextVideo  # noqa: E402

TURNS = (
    Turn(question="Which surgical phase is shown?", answer="The phase is lens implantation.", kind="phase"),
    Turn(question="Zähl: wie viele?", answer="1,5 ≈ „zwei“ <b>&amp;</b>", kind="other"),
)

# The template that convert_llava_next_video_weights_to_hf.py of transformers writes for the Vicuna models, with
# the loop over videos that came later. There it also writes a system text twice; here it is written once.
PUBLISHED_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "model"
    llava_next_video.build_small(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> LlavaNextVideo:
    return llava_next_video.load(folder)


def video(n: int = 4) -> Video:
    return Video(frames=np.random.default_rng(0).integers(0, 256, (n, 56, 56, 3), dtype=np.uint8), frame_seconds=0.5)


def test_the_small_model_is_of_the_published_classes(folder: Path) -> None:
    assert (
        type(AutoModelForImageTextToText.from_pretrained(folder)).__name__ == "LlavaNextVideoForConditionalGeneration"
    )
    assert type(AutoProcessor.from_pretrained(folder)).__name__ == "LlavaNextVideoProcessor"


def test_our_template_writes_what_the_published_one_writes_with_ends(model: LlavaNextVideo) -> None:
    messages = chat.messages(TURNS, model.system_prompt, video=True, for_reply=False)
    for until, prompt in [(len(messages), False), (2, True), (4, True)]:
        ours, theirs = (
            model.tokenizer.apply_chat_template(
                messages[:until], chat_template=template, tokenize=False, add_generation_prompt=prompt
            )
            for template in (None, PUBLISHED_TEMPLATE)
        )
        # The published one ends an answer with a blank, so that none is ever seen to end.
        assert ours.replace("</s>", " ") == theirs
        assert ours.count("</s>") == sum(message["role"] == "assistant" for message in messages[:until])
        assert not prompt or ours.endswith(" ASSISTANT:")
    # FastChat's conversation "vicuna_v1.1", which the language model was made with.
    assert (
        model.tokenizer.apply_chat_template(
            chat.messages(TURNS[:1], "Be brief.", video=False, for_reply=False), tokenize=False
        )
        == "Be brief. USER: Which surgical phase is shown? ASSISTANT: The phase is lens implantation.</s>"
    )


@pytest.mark.parametrize("legacy", [True, False])
def test_with_a_tokenizer_like_vicunas(legacy: bool) -> None:
    # Pieces of words with their blank in front, bytes for what has no piece: not the small model's own kind.
    pieces = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace(split=True)
    marks = [*llava_next_video.SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=2500, special_tokens=marks, show_progress=False)
    pieces.train_from_iterator([*small_tokenizer.TEXT.splitlines(), "USER: ASSISTANT:"] * 3, trainer)
    learnt = json.loads(pieces.to_str())["model"]
    named = {"image_token": "<image>", "video_token": "<video>"}
    tokenizer: Any = LlamaTokenizer(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        legacy=legacy,
        pad_token="<pad>",
        extra_special_tokens=named,
    )
    tokenizer.chat_template = llava_next_video.CHAT_TEMPLATE
    start = [tokenizer.convert_tokens_to_ids("<s>")]
    found = chat.encode(tokenizer, TURNS, "You see.", end="</s>", lead=" ", start=start, video=True, for_reply=False)
    # The first word with its blank, not a blank of its own in front of it.
    assert tokenizer.convert_ids_to_tokens(found.input_ids[:2]) == ["<s>", "▁You"]
    messages = chat.messages(TURNS, "You see.", video=True, for_reply=False)
    own = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    assert list(found.input_ids) == start + own["input_ids"]
    masked = [i if m else -100 for i, m in zip(own["input_ids"], own["assistant_masks"], strict=True)]
    assert chat.labels(len(found.input_ids), found.input_ids, found.answers) == [-100, *masked]
    asked = chat.encode(tokenizer, TURNS, "You see.", end="</s>", lead=" ", start=start, video=True, for_reply=True)
    assert found.input_ids[: len(asked.input_ids)] == asked.input_ids
    assert tokenizer.convert_ids_to_tokens(found.input_ids[len(asked.input_ids)])[0] == "▁"


def test_a_folder_as_it_was_published_is_the_same_model(folder: Path, model: LlavaNextVideo, tmp_path: Path) -> None:
    # Before transformers 4.52: one file for images and videos, of the image processor's class; patch size and
    # strategy, the conversation's ends and the system prompt not named; the tower one level deeper.
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    (old / "suture.json").unlink()
    settings = json.loads((old / "processor_config.json").read_text())
    images = {**settings["image_processor"], "processor_class": "LlavaNextVideoProcessor"}
    (old / "preprocessor_config.json").write_text(json.dumps(images))
    (old / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaNextVideoProcessor"}))
    (old / "chat_template.jinja").unlink()
    (old / "chat_template.json").write_text(json.dumps({"chat_template": PUBLISHED_TEMPLATE}))
    weights = {
        name.replace("vision_tower.", "vision_tower.vision_model."): tensor
        for name, tensor in load_file(old / "model.safetensors").items()
    }
    assert any(name.startswith("vision_tower.vision_model.encoder.layers.0.") for name in weights)
    assert any(name.startswith("language_model.model.layers.0.") for name in weights)
    save_file(weights, old / "model.safetensors", metadata={"format": "pt"})

    loaded = llava_next_video.load(old)
    batches = [one.collate([one.encode(TURNS, video())]) for one in (model, loaded)]
    assert all(torch.equal(batches[0][name], batches[1][name]) for name in batches[0])
    assert model.loss(model.model, batches[0], None).item() == loaded.loss(loaded.model, batches[1], None).item()
    theirs = loaded.processor(
        text=[
            loaded.tokenizer.apply_chat_template(
                chat.messages(TURNS, loaded.system_prompt, video=True, for_reply=False), tokenize=False
            )
        ],
        videos=[torch.from_numpy(video().frames).permute(0, 3, 1, 2)],
        return_tensors="pt",
    )
    assert torch.equal(batches[1]["input_ids"], theirs["input_ids"])


def test_features_of_another_strategy_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"vision_feature_select_strategy": "full"}))
    with pytest.raises(InputError, match="vision_feature_select_strategy 'full'"):
        llava_next_video.load(other)


def test_only_the_towers_own_size_is_taken(model: LlavaNextVideo) -> None:
    model.check_size(56, 56)
    for height, width in [(56, 112), (112, 112), (28, 28)]:
        with pytest.raises(InputError, match=f"frames of {height}x{width} pixels; the vision tower sees 56x56"):
            model.check_size(height, width)


def test_tokens_and_unused_layers_of_the_published_size(model: LlavaNextVideo) -> None:
    # The class's own defaults are those of llava-hf/LLaVA-NeXT-Video-7B-hf: 336 pixels, the last but one of 24 layers.
    config = LlavaNextVideoConfig()
    published = LlavaNextVideo.__new__(LlavaNextVideo)
    published._pooled = config.vision_config.image_size // config.vision_config.patch_size // config.spatial_pool_stride
    assert published.visual_tokens((10, 336, 336)) == 10 * 144
    assert llava_next_video._unused(config)[0] == "model.vision_tower.encoder.layers.23"
    assert model.visual_tokens((10, 56, 56)) == 10 * 4
    assert model.unused[0] == "model.vision_tower.encoder.layers.2"


def test_videos_of_any_length_share_a_batch(model: LlavaNextVideo) -> None:
    examples = [model.encode(TURNS, video(n)) for n in (1, 4, 7)]
    n = sum(label != -100 for example in examples for label in example.labels)
    together = model.loss(model.model, model.collate(examples), n).item()
    alone = sum(model.loss(model.model, model.collate([example]), n).item() for example in examples)
    assert together == pytest.approx(alone, rel=1e-6)
