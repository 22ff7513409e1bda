"""Qwen2.5-VL: the published Surgery-SFT model, and a small one with the same classes.

A video is cut into patches here instead of by the library's video processor,
which is many times slower on cached frames; a test holds both equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, linear
from transformers import (
    AutoProcessor,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    set_seed,
)

from suture import chat, model_folder, small_tokenizer
from suture.errors import InputError
from suture.models.base import Batch, Example, Reply, Video
from suture.pretrained import load_model
from suture.records import Turn

NAME = "qwen2_5_vl"
SYSTEM_PROMPT = (
    "You are a vision language model specialized in analyzing medical videos. "
    "Answer the question from what the video shows."
)

LANGUAGE_MODEL = "model.language_model"
UNQUANTIZED = ["model.visual", "lm_head"]

END = "<|im_end|>"
VIDEO_PAD = "<|video_pad|>"
SPECIAL = ["<|endoftext|>", "<|im_start|>", END, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", VIDEO_PAD]

SMALL_INIT = 0.1
"""Spread of the small model's weights, about 1 / sqrt(width). With the published 0.02, meant for a
width of 2,000 and more, the picture is too faint to be noticed for the first 400 steps."""

# The published template (Qwen/Qwen2.5-VL-7B-Instruct) with the assistant's part marked,
# so that the library can give its own mask of what is learnt.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}"
    "{% for content in message['content'] %}{{ content['text'] }}{% endfor %}{{ '<|im_end|>' }}"
    "{% endgeneration %}{{ '\n' }}"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif content['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% else %}{{ content['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_small(folder: Path) -> None:
    """Saves a Qwen2.5-VL of 0.4 million random weights with tokenizer and processor.

    Sizes are those found to learn drawn surgery on two CPU cores. The bytes
    are the same each time on one machine type.
    """
    backend = small_tokenizer.build(SPECIAL)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        pad_token=SPECIAL[0],
        additional_special_tokens=SPECIAL,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=size, do_sample_frames=False, cap_pixels_per_frame=True),
        chat_template=CHAT_TEMPLATE,
    )
    ids = {token: backend.token_to_id(token) for token in SPECIAL}
    set_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": backend.get_vocab_size(),
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "max_position_embeddings": 2048,
                "initializer_range": SMALL_INIT,
                # The three parts of the rotary position share head_dim / 2 = 8.
                "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]},
                "tie_word_embeddings": True,
                "bos_token_id": ids["<|endoftext|>"],
                "eos_token_id": ids[END],
                "pad_token_id": ids["<|endoftext|>"],
            },
            vision_config={
                "depth": 2,
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_heads": 4,
                "out_hidden_size": 64,
                "fullatt_block_indexes": [1],
                "window_size": 112,
                "tokens_per_second": 2,
                "initializer_range": SMALL_INIT,
            },
            tie_word_embeddings=True,
            image_token_id=ids["<|image_pad|>"],
            video_token_id=ids[VIDEO_PAD],
            vision_start_token_id=ids["<|vision_start|>"],
            vision_end_token_id=ids["<|vision_end|>"],
        )
    )
    model.generation_config = GenerationConfig(eos_token_id=ids[END], pad_token_id=ids["<|endoftext|>"])
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    model_folder.write_card(folder, family=NAME, system_prompt=SYSTEM_PROMPT)


def load(
    folder: Path,
    system_prompt: str | None = None,
    *,
    dtype: torch.dtype | None = None,
    quantization: BitsAndBytesConfig | None = None,
) -> Qwen25VL:
    """Loads a model folder by the library's own classes.

    Args:
        folder: weights, configuration and processor.
        system_prompt: replaces the text stored with the model.
        dtype: type of the weights; None: single precision.
        quantization: how to quantise the language model's linear layers.

    Raises:
        InputError: the folder holds no such model, or tensors are missing or unexpected.
    """
    model_folder.check_family(folder, NAME)
    model_folder.tensors(folder)
    model = load_model(
        Qwen2_5_VLForConditionalGeneration,
        folder,
        dtype=dtype or torch.float32,
        quantization=quantization,
        unquantized=UNQUANTIZED,
    )
    try:
        processor = AutoProcessor.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"no processor: {error}", where=folder, fix="fetch_weights.py makes a whole folder") from error
    embed = model.model.visual.patch_embed
    embed.forward = MethodType(_embed_patches, embed)
    prompt = system_prompt or model_folder.read_card(folder).get("system_prompt") or SYSTEM_PROMPT
    return Qwen25VL(model, processor, prompt)


def _embed_patches(embed: Any, patches: torch.Tensor) -> torch.Tensor:
    # The tower's 3-D convolution never overlaps itself: it is one matrix product. As a
    # convolution it takes half the time of the small model's step on a CPU.
    weight = embed.proj.weight.flatten(1)
    return linear(patches.to(weight.dtype), weight)


def patchify(frames: np.ndarray, *, patch: int, merge: int, temporal: int) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Lays frames out as the vision tower reads them.

    Args:
        frames: any dtype, [n, height, width, 3]; the last frame is repeated
            until n is a multiple of ``temporal``.
        patch: side of a patch in pixels.
        merge: patches on a side of the square that becomes one token.
        temporal: frames in a patch.

    Returns:
        [t * h * w, 3 * temporal * patch * patch] and the grid (t, h, w) in
        patches, ordered as ``Qwen2VLVideoProcessor.patchify`` orders them.
    """
    if missing := -len(frames) % temporal:
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
    n, height, width, channels = frames.shape
    t, h, w = n // temporal, height // patch, width // patch
    split = frames.reshape(t, temporal, h // merge, merge, patch, w // merge, merge, patch, channels)
    ordered = split.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return ordered.reshape(t * h * w, channels * temporal * patch * patch), (t, h, w)


class Qwen25VL:
    """A loaded Qwen2.5-VL; see :class:`suture.models.base.VideoModel`."""

    def __init__(self, model: Any, processor: Any, system_prompt: str) -> None:
        self.model = model
        self.language_model = LANGUAGE_MODEL
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.system_prompt = system_prompt
        self.max_length: int = model.config.text_config.max_position_embeddings
        self._video_id: int = model.config.video_token_id
        self._end_id: int = self.tokenizer.convert_tokens_to_ids(END)
        self._pad_id: int = self.tokenizer.pad_token_id
        video = processor.video_processor
        self._grid = {"patch": video.patch_size, "merge": video.merge_size, "temporal": video.temporal_patch_size}
        # Mean and spread of each column of a patch: all pixels of one colour lie together.
        pixels = video.temporal_patch_size * video.patch_size**2
        self._mean = np.repeat(np.array(video.image_mean, np.float32) * np.float32(255), pixels)
        self._std = np.repeat(np.array(video.image_std, np.float32) * np.float32(255), pixels)
        self._text = lru_cache(maxsize=200_000)(self._encode_text)

    def check_size(self, height: int, width: int) -> None:
        """Refuses a frame size that is no multiple of a visual token's side."""
        unit = self._grid["patch"] * self._grid["merge"]
        if height % unit or width % unit:
            raise InputError(
                f"frames of {height}x{width} pixels do not divide into visual tokens of {unit}x{unit}",
                fix=f"cache them at a multiple of {unit}, for example {_near(height, unit)}x{_near(width, unit)}",
            )

    def _encode_text(self, turns: tuple[Turn, ...], video: bool, for_reply: bool) -> chat.Encoded:
        return chat.encode(self.tokenizer, turns, self.system_prompt, end=END, video=video, for_reply=for_reply)

    def count_tokens(self, turns: Sequence[Turn], shape: tuple[int, int, int] | None) -> int:
        """Counts tokens: those of the text, and one for each merged patch in place of the placeholder."""
        text = len(self._text(tuple(turns), shape is not None, False).input_ids)
        if shape is None:
            return text
        n, height, width = shape
        unit = self._grid["patch"] * self._grid["merge"]
        visual: int = -(-n // self._grid["temporal"]) * (height // unit) * (width // unit)
        return text - 1 + visual

    def encode(self, turns: Sequence[Turn], video: Video | None, *, for_reply: bool = False) -> Example:
        """Encodes a conversation; the video's placeholder becomes one token for each merged patch."""
        text = self._text(tuple(turns), video is not None, for_reply)
        ids = list(text.input_ids)
        labels = chat.labels(len(ids), ids, text.answers)
        if video is None:
            return Example(input_ids=ids, labels=labels, media={})
        patches, (t, h, w) = patchify(video.frames, **self._grid)
        values = (patches.astype(np.float32) - self._mean) / self._std
        at, count = ids.index(self._video_id), t * h * w // self._grid["merge"] ** 2
        ids[at : at + 1] = [self._video_id] * count
        labels[at : at + 1] = [chat.IGNORED] * count
        media = {
            "pixel_values_videos": torch.from_numpy(values),
            "video_grid_thw": torch.tensor([[t, h, w]]),
            # Positions in time follow the clock. One frame has no pace: a second, as the model's default.
            "second_per_grid_ts": torch.tensor([self._grid["temporal"] * video.frame_seconds or 1.0]),
        }
        return Example(input_ids=ids, labels=labels, media=media)

    def collate(self, examples: Sequence[Example], *, pad_left: bool = False) -> dict[str, torch.Tensor]:
        """Pads to the longest example; all examples have a video, or none has."""
        longest = max(len(example.input_ids) for example in examples)

        def padded(row: Sequence[int], filler: int) -> list[int]:
            fill = [filler] * (longest - len(row))
            return [*fill, *row] if pad_left else [*row, *fill]

        input_ids = torch.tensor([padded(e.input_ids, self._pad_id) for e in examples])
        batch = {
            "input_ids": input_ids,
            "attention_mask": torch.tensor([padded([1] * len(e.input_ids), 0) for e in examples]),
            "labels": torch.tensor([padded(e.labels, chat.IGNORED) for e in examples]),
            # Without it the tower's tokens get the positions of text. 2 stands for video.
            "mm_token_type_ids": (input_ids == self._video_id).int() * 2,
        }
        media = [example.media for example in examples if example.media]
        if media:
            batch |= {name: torch.cat([m[name] for m in media]) for name in media[0]}
        return batch

    def loss(self, model: torch.nn.Module, batch: Batch, n_labels: torch.Tensor | int | None) -> torch.Tensor:
        """Cross-entropy with logits only at the columns where some row of the batch has a label."""
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        # The hidden state at a position predicts the token after it.
        targets = batch["labels"][:, 1:]
        columns = (targets != chat.IGNORED).any(dim=0).nonzero().squeeze(1)
        logits = model(**inputs, use_cache=False, logits_to_keep=columns).logits
        kept = targets[:, columns]
        labelled = kept != chat.IGNORED
        total = cross_entropy(logits[labelled].float(), kept[labelled], reduction="sum")
        return total / (n_labels if n_labels is not None else labelled.sum())

    @torch.inference_mode()
    def generate(self, batch: Batch, max_new_tokens: int) -> list[Reply]:
        """Answers greedily; sampling settings that a model folder brings are not used."""
        inputs = {name: value.to(self.model.device) for name, value in batch.items() if name != "labels"}
        settings = GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=self._end_id, pad_token_id=self._pad_id
        )
        self.model.eval()
        out = self.model.generate(**inputs, generation_config=settings)[:, inputs["input_ids"].shape[1] :]
        replies = []
        for row in out.tolist():
            truncated = self._end_id not in row
            said = row if truncated else row[: row.index(self._end_id)]
            text = self.tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            replies.append(Reply(text=text.strip(), truncated=truncated))
        return replies


def _near(length: int, unit: int) -> int:
    return max(unit, round(length / unit) * unit)
