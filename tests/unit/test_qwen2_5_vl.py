"""The Qwen2.5-VL family against the published conversation and the library's own inputs and positions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suture import libraries, small_tokenizer
from suture.config.generation import Generation
from suture.errors import InputError
from suture.records import Turn

libraries.prepare(threads=1)

import torch  # noqa: E402
from transformers import AutoModelForImageTextToText, AutoProcessor  # noqa: E402

from suture.models import qwen2_5_vl  # noqa: E402
from suture.models.base import Video  # noqa: E402
from suture.models.qwen2_5_vl import Qwen25VL, patchify  # noqa: E402

TURNS = (
    Turn(question="Which surgical phase is shown?", answer="The phase is lens implantation.", kind="phase"),
    Turn(question="Which instruments are visible?", answer="No instrument is visible.", kind="instruments"),
    Turn(question="Zähl: wie viele?", answer="1,5 ≈ „zwei“ <b>&amp;</b>", kind="other"),
)

# tokenizer_config.json of Qwen/Qwen2.5-VL-7B-Instruct, in full.
PUBLISHED_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small")
    qwen2_5_vl.build_small(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Qwen25VL:
    return qwen2_5_vl.load(folder)


def video(n: int = 8, height: int = 56, width: int = 56, seed: int = 0, seconds: float = 0.5) -> Video:
    frames = np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    return Video(frames=frames, frame_seconds=seconds)


def conversation(model: Qwen25VL, turns: Sequence[Turn], shown: Any = None) -> list[dict[str, Any]]:
    first = {"type": "video", "video": shown} if shown is not None else {"type": "video"}
    out: list[dict[str, Any]] = [{"role": "system", "content": [{"type": "text", "text": model.system_prompt}]}]
    for number, turn in enumerate(turns):
        text = {"type": "text", "text": turn.question}
        out.append({"role": "user", "content": [first, text] if number == 0 else [text]})
        out.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
    return out


def test_the_small_model_is_of_the_published_classes(folder: Path) -> None:
    assert type(AutoModelForImageTextToText.from_pretrained(folder)).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert type(AutoProcessor.from_pretrained(folder)).__name__ == "Qwen2_5_VLProcessor"


def test_words_of_the_domain_are_tokens_and_any_text_survives(model: Qwen25VL) -> None:
    for word in (" phacoemulsification", " capsulorhexis", " spatula", " cornea", " gallbladder", " effusion"):
        assert len(model.tokenizer(word).input_ids) == 1, word
    text = "Ünïcode 漢字 \t <|not a mark|> 3.5 mm"
    assert model.tokenizer.decode(model.tokenizer(text).input_ids) == text
    assert small_tokenizer.build(["<a>"]).to_str() == small_tokenizer.build(["<a>"]).to_str()


def test_our_template_writes_what_the_published_one_writes(model: Qwen25VL) -> None:
    chat = conversation(model, TURNS)
    for until, prompt in [(len(chat), False), (len(chat) - 1, True), (2, True)]:
        texts = {
            model.tokenizer.apply_chat_template(
                chat[:until], chat_template=template, tokenize=False, add_generation_prompt=prompt
            )
            for template in (None, PUBLISHED_TEMPLATE)
        }
        assert len(texts) == 1


@pytest.mark.parametrize(("n", "height", "width"), [(8, 56, 56), (5, 56, 84), (1, 28, 56), (2, 112, 112)])
def test_inputs_equal_those_of_the_librarys_processor(model: Qwen25VL, n: int, height: int, width: int) -> None:
    shown = video(n, height, width)
    theirs = model.processor(
        text=[model.tokenizer.apply_chat_template(conversation(model, TURNS), tokenize=False)],
        videos=[torch.from_numpy(shown.frames).permute(0, 3, 1, 2)],
        videos_kwargs={"do_resize": False, "do_sample_frames": False},
        return_tensors="pt",
    )
    ours = model.collate([model.encode(TURNS, shown)])
    for name in ("input_ids", "attention_mask", "mm_token_type_ids", "video_grid_thw"):
        assert torch.equal(ours[name].long(), theirs[name].long()), name
    assert (ours["pixel_values_videos"] - theirs["pixel_values_videos"]).abs().max() <= 2.4e-7
    assert model.count_tokens(TURNS, (n, height, width)) == ours["input_ids"].shape[1]


def test_patches_hold_their_own_pixels() -> None:
    frames = np.arange(2 * 56 * 28 * 3).reshape(2, 56, 28, 3)
    patches, grid = patchify(frames, patch=14, merge=2, temporal=2)
    assert grid == (1, 4, 2)
    # The second patch lies right of the first; its numbers run over colour, frame, row, column.
    assert patches[1].reshape(3, 2, 14, 14)[2, 1, 3, 4] == frames[1, 3, 14 + 4, 2]


def test_an_answer_without_tokens_of_its_own_is_refused(model: Qwen25VL) -> None:
    # Its line breaks become one token with the one before it, which no prompt ends in.
    with pytest.raises(InputError, match="tokens of its own"):
        model.encode([Turn(question="What?", answer="\n\nstarts with breaks", kind="x")], None)


def test_time_in_positions_follows_the_clock(model: Qwen25VL) -> None:
    starts = {}
    for seconds in (0.25, 0.5, 1.0):
        batch = model.collate([model.encode(TURNS[:1], video(seconds=seconds))])
        inputs = {k: v for k, v in batch.items() if k not in ("labels", "pixel_values_videos")}
        positions, _ = model.model.model.get_rope_index(**inputs)
        seen = positions[0, 0][batch["mm_token_type_ids"][0] == 2]
        starts[seconds] = (seen - seen.min()).unique().tolist()
    # Two frames a grid step, two positions a second.
    assert starts == {0.25: [0, 1, 2, 3], 0.5: [0, 2, 4, 6], 1.0: [0, 4, 8, 12]}


def test_more_samples_than_tokens(model: Qwen25VL) -> None:
    # The library's own default for the pace of videos runs out here (StopIteration).
    short = [model.encode([Turn(question="?", answer="a", kind="x")], video(2, 28, 28), for_reply=True)] * 60
    batch = model.collate(short, pad_left=True)
    assert batch["input_ids"].shape[0] > batch["input_ids"].shape[1]
    assert len(model.generate(batch, Generation(max_new_tokens=1), range(60))) == 60


def test_a_frame_size_between_tokens_is_refused(model: Qwen25VL) -> None:
    model.check_size(56, 84)
    with pytest.raises(InputError, match="64x56 pixels do not divide into visual tokens of 28x28") as caught:
        model.check_size(64, 56)
    assert "56x56" in str(caught.value.fix)
