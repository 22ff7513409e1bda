"""Qwen2.5-VL: the published Surgery-SFT model, and a small one with the same classes.

A video is cut into patches here instead of by the library's video processor,
which is many times slower on cached frames; a test holds both equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear
from transformers import (
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

from suture import model_folder, small_tokenizer
from suture.errors import InputError
from suture.models.base import Batch, Example, Features, Video
from suture.pretrained import load_model, load_processor
from suture.vision_language import PIXELS, VisionLanguageModel

NAME = "qwen2_5_vl"
SYSTEM_PROMPT = (
    "You are a vision language model specialized in analyzing medical videos. "
    "Answer the question from what the video shows."
)

# README of Surgery-SFT; --num_epochs is for train.py, a config names its steps.
PUBLISHED = {
    "model_id": "Qwen/Qwen2.5-VL-7B-Instruct",
    "hub_model_id": "qwen2.5-vl-7b-instruct-cataract1k",
    "save_dir": "qwen2.5-vl-7b-instruct-cataract1k",
    "fps": 2.0,
    "size": (224, 224),
}
TRAIN_DEFAULTS = {
    "num_epochs": 2,
    "batch_size": 4,
    "gradient_accumulation_steps": 8,
    "learning_rate": 2e-4,
    "use_qlora": True,
    "r": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "lora_targets": "q_proj,v_proj",
    "gradient_checkpointing": True,
    "warmup_ratio": 0.03,
    "max_grad_norm": 0.3,
    "precision": "bf16",
}

LANGUAGE_MODEL = "model.language_model"
TOWERS = {
    "vision": ("model.visual",),
    "projector": ("model.visual.merger",),
    "language": (LANGUAGE_MODEL, "lm_head"),
}
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
    attention: str = "sdpa",
) -> Qwen25VL:
    """Loads a model folder by the library's own classes.

    Args:
        folder: weights, configuration and processor.
        system_prompt: replaces the text stored with the model.
        dtype: type of the weights; None: single precision.
        quantization: how to quantise the language model's linear layers.
        attention: the library's name of the attention to compute with.

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
        attention=attention,
    )
    processor = load_processor(folder)
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


class Qwen25VL(VisionLanguageModel):
    """A loaded Qwen2.5-VL; see :class:`suture.models.base.VideoModel`."""

    def __init__(self, model: Any, processor: Any, system_prompt: str) -> None:
        super().__init__(model, processor, system_prompt, end=END)
        self.language_model = LANGUAGE_MODEL
        self.towers = TOWERS
        # Kept from before adapters wrap the model.
        self._rope_index = model.model.get_rope_index
        video = processor.video_processor
        self._grid = {"patch": video.patch_size, "merge": video.merge_size, "temporal": video.temporal_patch_size}
        # Mean and spread of each column of a patch: all pixels of one colour lie together.
        pixels = video.temporal_patch_size * video.patch_size**2
        self._mean = np.repeat(np.array(video.image_mean, np.float32) * np.float32(255), pixels)
        self._std = np.repeat(np.array(video.image_std, np.float32) * np.float32(255), pixels)

    def check_size(self, height: int, width: int) -> None:
        """Refuses a frame size that is no multiple of a visual token's side."""
        unit = self._grid["patch"] * self._grid["merge"]
        if height % unit or width % unit:
            raise InputError(
                f"frames of {height}x{width} pixels do not divide into visual tokens of {unit}x{unit}",
                fix=f"cache them at a multiple of {unit}, for example {_near(height, unit)}x{_near(width, unit)}",
            )

    def visual_tokens(self, shape: tuple[int, int, int]) -> int:
        """Counts the merged patches."""
        t, h, w = self._patches(shape)
        merged: int = self._grid["merge"] ** 2
        return t * h * w // merged

    def _patches(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        n, height, width = shape
        patch = self._grid["patch"]
        return -(-n // self._grid["temporal"]), height // patch, width // patch

    def pixels(self, video: Video) -> dict[str, torch.Tensor]:
        """Returns the normalised patches, [t * h * w, values], with their grid and pace."""
        patches, grid = patchify(video.frames, **self._grid)
        values = patches.astype(np.float32)
        # In place: new arrays of this size cost five times the arithmetic.
        values -= self._mean
        values /= self._std
        return {PIXELS: torch.from_numpy(values), **self._grid_and_pace(grid, video.frame_seconds)}

    def without_pixels(self, features: Features) -> dict[str, torch.Tensor]:
        """Returns grid and pace, which positions are made of."""
        return self._grid_and_pace(self._patches(features.shape), features.frame_seconds)

    def _grid_and_pace(self, grid: tuple[int, int, int], frame_seconds: float) -> dict[str, torch.Tensor]:
        return {
            "video_grid_thw": torch.tensor([grid]),
            # Positions in time follow the clock. One frame has no pace: a second, as the model's default.
            "second_per_grid_ts": torch.tensor([self._grid["temporal"] * frame_seconds or 1.0]),
        }

    def join(self, name: str, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Puts patches, grids and paces of videos one behind the other."""
        return torch.cat(list(tensors))

    def tower_inputs(self, media: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns patches and grid."""
        return {name: media[name] for name in (PIXELS, "video_grid_thw")}

    def extras(self, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Marks the video's tokens: without it they get the positions of text. 2 stands for video."""
        return {"mm_token_type_ids": (input_ids == self._video_id).int() * 2}

    def positions(self, example: Example) -> torch.Tensor:
        """Returns the positions as text and those in time, height and width, [4, 1, tokens]."""
        ids = torch.tensor([example.input_ids])
        in_video, _ = self._rope_index(ids, **self.extras(ids), **_where(example.media))
        return torch.cat([torch.arange(ids.shape[1])[None, None], in_video])

    def prompt_positions(self, batch: Batch) -> torch.Tensor:
        """Returns the positions in time, height and width, [3, rows, tokens]; behind the video all three are equal."""
        names = ("input_ids", "attention_mask", "mm_token_type_ids")
        positions: torch.Tensor = self._rope_index(**{name: batch[name] for name in names}, **_where(batch))[0]
        return positions


def _where(media: Batch) -> dict[str, torch.Tensor]:
    """Returns what a video's positions are made of; nothing where there is none."""
    return {name: media[name] for name in ("video_grid_thw", "second_per_grid_ts") if name in media}


def _near(length: int, unit: int) -> int:
    return max(unit, round(length / unit) * unit)
