"""LLaVA-NeXT-Video: the second published Surgery-SFT model, and a small one with the same classes.

The published script needed transformers 4.48, where the model put the video's
tokens into the text itself; here they are counted and placed beforehand, as
current versions expect, and none is ever cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
    LlavaNextImageProcessor,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaNextVideoProcessor,
    LlavaNextVideoVideoProcessor,
    PreTrainedTokenizerFast,
    set_seed,
)

from suture import model_folder, small_tokenizer
from suture.errors import InputError
from suture.models.base import Features, Video
from suture.pretrained import load_model, load_processor
from suture.vision_language import PIXELS, VisionLanguageModel

NAME = "llava_next_video"
SYSTEM_PROMPT = (
    "You are a vision language model specialized in analyzing medical videos. "
    "Answer the question from what the video shows."
)

# README of Surgery-SFT; --num_epochs is for train.py, a config names its steps. What the README leaves out is
# train_llava.py's: clipping of the version with these ranks (the last one has none), warm-up of the last one.
PUBLISHED = {
    "model_id": "llava-hf/LLaVa-NeXT-Video-7b-hf",
    "hub_model_id": "llava-next-video-7b-cataract1k",
    "save_dir": "llava-next-video-7b-cataract1k",
    "fps": 2.0,
    "size": (336, 336),
}
TRAIN_DEFAULTS = {
    "num_epochs": 1,
    "batch_size": 1,
    "gradient_accumulation_steps": 8,
    "learning_rate": 2e-5,
    "use_qlora": True,
    "r": 8,
    "lora_alpha": 8,
    "lora_dropout": 0.1,
    "lora_targets": "all-linear",
    "gradient_checkpointing": True,
    "warmup_ratio": 0.01,
    "max_grad_norm": 0.3,
    "precision": "bf16",
}

LANGUAGE_MODEL = "model.language_model"
VISION = "model.vision_tower"
TOWERS = {
    "vision": (VISION,),
    "projector": ("model.multi_modal_projector", "model.vision_resampler", "model.image_newline"),
    "language": (LANGUAGE_MODEL, "lm_head"),
}
UNQUANTIZED = [VISION, "model.multi_modal_projector", "lm_head"]

START = "<s>"
END = "</s>"
SPECIAL = ["<unk>", START, END, "<pad>", "<image>", "<video>"]

SMALL_INIT = 0.1
"""Spread of the small model's weights, about 1 / sqrt(width); see suture.models.qwen2_5_vl."""

# The published conversation (Vicuna's), with the end of an answer, which the template in the published
# folder leaves out: a model trained with that one never learns to stop. It is used for every folder.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ 'ASSISTANT:' }}{% generation %}"
    "{% for content in message['content'] %}{{ ' ' + content['text'] }}{% endfor %}{{ '</s>' }}{% endgeneration %}"
    "{% else %}{% if message['role'] == 'user' %}{{ 'USER: ' }}{% endif %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}{{ '<image>\n' }}"
    "{% elif content['type'] == 'video' %}{{ '<video>\n' }}"
    "{% else %}{{ content['text'] + ' ' }}{% endif %}{% endfor %}"
    "{% endif %}{% endfor %}"
    # Without a blank at its end: that would be one token with the answer's first word.
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def build_small(folder: Path) -> None:
    """Saves a LLaVA-NeXT-Video of 0.4 million random weights with tokenizer and processor.

    Its tower sees 56x56 pixels; as in the published model, the last layer of
    the tower is not used. The bytes are the same each time on one machine type.
    """
    backend = small_tokenizer.build(SPECIAL, more="USER: ASSISTANT:")
    ids = {token: backend.token_to_id(token) for token in SPECIAL}
    # Like the published tokenizer it opens a text by itself, which the template does not.
    backend.post_processor = TemplateProcessing(single=f"{START} $A", special_tokens=[(START, ids[START])])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=START,
        eos_token=END,
        unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    side, patch, pinpoints = 56, 14, [[56, 112], [112, 56]]
    sizes: dict[str, Any] = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    processor = LlavaNextVideoProcessor(
        video_processor=LlavaNextVideoVideoProcessor(**sizes, do_sample_frames=False),
        image_processor=LlavaNextImageProcessor(**sizes, image_grid_pinpoints=pinpoints),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    set_seed(0)
    model = LlavaNextVideoForConditionalGeneration(
        LlavaNextVideoConfig(
            text_config={
                "model_type": "llama",
                "vocab_size": backend.get_vocab_size(),
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "max_position_embeddings": 2048,
                "initializer_range": SMALL_INIT,
                "bos_token_id": ids[START],
                "eos_token_id": ids[END],
                "pad_token_id": ids["<pad>"],
            },
            vision_config={
                "model_type": "clip_vision_model",
                "image_size": side,
                "patch_size": patch,
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "projection_dim": 64,
            },
            image_grid_pinpoints=pinpoints,
            image_token_index=ids["<image>"],
            video_token_index=ids["<video>"],
            vision_feature_layer=-2,
            spatial_pool_mode="average",
            spatial_pool_stride=2,
            tie_word_embeddings=True,
        )
    )
    model.generation_config = GenerationConfig(eos_token_id=ids[END], pad_token_id=ids["<pad>"])
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
) -> LlavaNextVideo:
    """Loads a model folder by the library's own classes.

    Args:
        folder: weights, configuration and processor.
        system_prompt: replaces the text stored with the model.
        dtype: type of the weights; None: single precision.
        quantization: how to quantise the language model's linear layers.
        attention: the library's name of the attention to compute with.

    Raises:
        InputError: the folder holds no such model, tensors are missing or
            unexpected, or its towers are joined in another way than the published ones.
    """
    model_folder.check_family(folder, NAME)
    model_folder.tensors(folder)
    model = load_model(
        LlavaNextVideoForConditionalGeneration,
        folder,
        dtype=dtype or torch.float32,
        quantization=quantization,
        unquantized=UNQUANTIZED,
        attention=attention,
    )
    if model.config.vision_feature_select_strategy != "default":
        raise InputError(
            f"vision_feature_select_strategy {model.config.vision_feature_select_strategy!r}: only 'default' is known",
            where=folder,
        )
    processor = _processor(folder, model.config)
    prompt = system_prompt or model_folder.read_card(folder).get("system_prompt") or SYSTEM_PROMPT
    return LlavaNextVideo(model, processor, prompt)


def _processor(folder: Path, config: Any) -> LlavaNextVideoProcessor:
    # Part by part. The published folder names its image processor only, from which the library's AutoProcessor
    # takes this very class for the video processor, without end (huggingface/transformers issue 42142).
    # Folders of that age do not name patch size and strategy either; the model's configuration does.
    tokenizer = load_processor(folder, AutoTokenizer)
    tokenizer.chat_template = CHAT_TEMPLATE
    return LlavaNextVideoProcessor(
        video_processor=load_processor(folder, LlavaNextVideoVideoProcessor),
        image_processor=load_processor(folder, LlavaNextImageProcessor),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,
    )


class LlavaNextVideo(VisionLanguageModel):
    """A loaded LLaVA-NeXT-Video; see :class:`suture.models.base.VideoModel`."""

    def __init__(self, model: Any, processor: Any, system_prompt: str) -> None:
        super().__init__(model, processor, system_prompt, end=END, lead=" ", start=START)
        self.language_model = LANGUAGE_MODEL
        self.towers = TOWERS
        vision = model.config.vision_config
        self._side: int = vision.image_size
        self._pooled: int = vision.image_size // vision.patch_size // model.config.spatial_pool_stride
        self.unused = _unused(model.config)
        video = processor.video_processor
        self._mean = np.array(video.image_mean, np.float32)[:, None, None] * np.float32(255)
        self._std = np.array(video.image_std, np.float32)[:, None, None] * np.float32(255)

    def check_size(self, height: int, width: int) -> None:
        """Refuses any frame size but the tower's own: its positions are learnt."""
        if (height, width) != (self._side, self._side):
            raise InputError(
                f"frames of {height}x{width} pixels; the vision tower sees {self._side}x{self._side}",
                fix=f"cache them at {self._side}x{self._side}",
            )

    def visual_tokens(self, shape: tuple[int, int, int]) -> int:
        """Counts the pooled patches of all frames."""
        return shape[0] * self._pooled**2

    def pixels(self, video: Video) -> dict[str, torch.Tensor]:
        """Returns the normalised frames, [1, frames, 3, height, width]."""
        values = np.ascontiguousarray(video.frames.transpose(0, 3, 1, 2)).astype(np.float32)
        # In place: new arrays of this size cost more than the arithmetic.
        values -= self._mean
        values /= self._std
        return {PIXELS: torch.from_numpy(values)[None]}

    def without_pixels(self, features: Features) -> dict[str, torch.Tensor]:
        """Returns nothing: positions are those of text."""
        return {}

    def join(self, name: str, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Puts all frames into one video: the tower sees each alone, and clips differ in their number."""
        return torch.cat(list(tensors), dim=1 if name == PIXELS else 0)


def _unused(config: Any) -> tuple[str, ...]:
    """Names what comes after the tower's layer that is read, and what only images need."""
    layers = config.vision_config.num_hidden_layers
    read = config.vision_feature_layer
    # Of layers + 1 states, 0 is the embedding's; from the end when negative.
    last = max((one % (layers + 1) for one in ([read] if isinstance(read, int) else read)), default=layers)
    blocks = [f"{VISION}.encoder.layers.{number}" for number in range(last, layers)]
    return (*blocks, f"{VISION}.post_layernorm", "model.image_newline")
