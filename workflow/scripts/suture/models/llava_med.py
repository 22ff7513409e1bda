"""LLaVA-Med on the library's own LLaVA: CLIP ViT-L/14 seen at its last layer but one, a projector, LLaMA or Mistral.

Both published generations are read once converted (:mod:`suture.llava_layouts`):
1.0 with LLaMA, a linear projector, ``<im_start>`` and ``<im_end>`` around the
image and LLaVA's first way to talk; 1.5 with Mistral, a projector of two
layers and ``[INST]``. A linear projector is the library's with the identity as
second layer, which is exact, and never trained. Several images stand one
behind the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    CLIPImageProcessor,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    set_seed,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from suture import model_folder, small_tokenizer
from suture.config.generation import Generation
from suture.errors import InputError
from suture.models.base import Batch, Features, Reply, Video
from suture.pretrained import load_model, load_processor
from suture.vision_language import VisionLanguageModel

NAME = "llava_med"
SYSTEM_PROMPT = (
    "You are LLaVA-Med, a large language and vision assistant trained by a group of researchers at Microsoft, based on "
    "the general domain LLaVA architecture. You are able to understand the visual content that the user provides, and "
    "assist the user with a variety of medical and clinical tasks using natural language. Follow the instructions "
    "carefully and explain your answers in detail."
)
"""LLaVA-Med's own, of its conversation templates."""

PUBLISHED = {
    "model_id": "microsoft/llava-med-v1.5-mistral-7b",
    "hub_model_id": "llava-med-report",
    "save_dir": "checkpoints/llava-med-report",
    "fps": 1.0,
    "size": (224, 224),
    "generation": {"max_new_tokens": 1024, "temperature": 0.7},
}
# Numbers: LLaVa-med-report's fine_tuning_mimic_7B.sh and LLaVA-Med's second stage, which are equal; 128 samples a step.
# What is trained: as train.py where nothing is said, which never trains the vision tower. The report run adds
# tune_mm_mlp_adapter and mm_use_im_start_end, which 1.5 has no tokens for.
TRAIN_DEFAULTS = {
    "num_epochs": 3,
    "batch_size": 2,
    "gradient_accumulation_steps": 64,
    "learning_rate": 2e-5,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.03,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "freeze_vision": True,
    "gradient_checkpointing": True,
    "precision": "bf16",
    "tf32": True,
    "logging_steps": 1,
}

PIXELS = "pixel_values"
LANGUAGE_MODEL = "model.language_model"
VISION = "model.vision_tower"
PROJECTOR = "model.multi_modal_projector"
TOWERS = {"vision": (VISION,), "projector": (PROJECTOR,), "language": (LANGUAGE_MODEL, "lm_head")}
UNQUANTIZED = [VISION, PROJECTOR, "lm_head"]

START, END = "<s>", "</s>"
PATCH, IMAGE_START, IMAGE_END = "<im_patch>", "<im_start>", "<im_end>"
SPECIAL = ["<unk>", START, END, "<pad>", PATCH, IMAGE_START, IMAGE_END]
TURN_END = "\n###"
"""What ends an answer of 1.0, whose models never learnt to say ``</s>``."""

SMALL_SYSTEM_PROMPT = "You are LLaVA-Med. Answer the question."
"""The published text is longer than the small model's reports: most of its steps would go into that."""

SMALL_INIT = 0.1
"""Spread of the small model's weights, about 1 / sqrt(width); see suture.models.qwen2_5_vl."""


def chat_template(image: str, *, first: bool) -> str:
    """Returns the published way to talk.

    Args:
        image: what stands for the image, such as ``<im_start><im_patch><im_end>``.
        first: LLaVA's first one, of LLaVA-Med 1.0; else Mistral's, of 1.5.
    """
    text = "message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join"
    shown = "message['content'] | rejectattr('type', 'equalto', 'text') | list | length"
    if first:
        parts = {
            "system": "{{ text + '\n\n' }}",
            "user": "{{ '### Human: ' + text }}{% if " + shown + " %}{{ '\n" + image + "' }}{% endif %}{{ '\n' }}",
            "before": "### Assistant:",
            "after": f"{TURN_END}{END}",
        }
    else:
        parts = {
            "system": "{% if text %}{% set opened.system = text + '\n' %}{% endif %}",
            "user": "{{ '[INST] ' + opened.system }}{% if " + shown + " %}{{ '" + image + "\n' }}{% endif %}"
            "{{ text + ' [/INST]' }}{% set opened.system = '' %}",
            "before": "",
            "after": END,
        }
    written = (
        "{% set opened = namespace(system='') %}{% for message in messages %}{% set text = " + text + " %}"
        "{% if message['role'] == 'system' %}" + parts["system"] + "{% elif message['role'] == 'assistant' %}"
        "{{ '" + parts["before"] + "' }}{% generation %}{{ ' ' + text + '" + parts["after"] + "' }}{% endgeneration %}"
        "{% else %}" + parts["user"] + "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '" + parts["before"] + "' }}{% endif %}"
    )
    return written.replace("\n", "\\n")


def build_small(folder: Path) -> None:
    """Saves a LLaVA-Med 1.0 of 0.4 million random weights with tokenizer and processor.

    Its tower sees 56x56 pixels; as in the published models, the tower's last layer is not used and the projector
    is linear. The bytes are the same each time on one machine type.
    """
    backend = small_tokenizer.build(SPECIAL, more="### Human: Assistant:")
    ids = {token: backend.token_to_id(token) for token in SPECIAL}
    # Like the published tokenizer it opens a text by itself, which the template does not.
    backend.post_processor = TemplateProcessing(single=f"{START} $A", special_tokens=[(START, ids[START])])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=START,
        eos_token=END,
        unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": PATCH},
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat_template(f"{IMAGE_START}{PATCH}{IMAGE_END}", first=True)
    side, patch = 56, 14
    size = {"height": side, "width": side}
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": side}, crop_size=size),
        tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        image_token=PATCH,
        num_additional_image_tokens=1,
    )
    set_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
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
            image_token_index=ids[PATCH],
            image_seq_length=(side // patch) ** 2,
            projector_hidden_act="linear",
            vision_feature_layer=-2,
            tie_word_embeddings=True,
        )
    )
    make_linear(model)
    model.generation_config = GenerationConfig(eos_token_id=ids[END], pad_token_id=ids["<pad>"])
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    model_folder.write_card(folder, family=NAME, system_prompt=SMALL_SYSTEM_PROMPT)


@torch.no_grad()
def make_linear(model: Any) -> None:
    """Makes the projector's second layer the identity: with no activation between, both together are the first."""
    second = model.model.multi_modal_projector.linear_2
    second.weight.copy_(torch.eye(second.weight.shape[0]))
    second.bias.zero_()


def load(
    folder: Path,
    system_prompt: str | None = None,
    *,
    dtype: torch.dtype | None = None,
    quantization: BitsAndBytesConfig | None = None,
    attention: str = "sdpa",
) -> LlavaMed:
    """Loads a model folder by the library's own classes.

    Args:
        folder: weights, configuration and processor; LLaVA-Med's own layout is converted first.
        system_prompt: replaces the text stored with the model.
        dtype: type of the weights; None: single precision.
        quantization: how to quantise the language model's linear layers.
        attention: the library's name of the attention to compute with.

    Raises:
        InputError: the folder holds no such model, tensors are missing or
            unexpected, or it is in LLaVA-Med's own layout.
    """
    model_folder.check_family(folder, NAME)
    names = model_folder.tensors(folder)
    if any(".mm_projector." in name for name in names):
        raise InputError(
            "weights in LLaVA-Med's own layout", where=folder, fix="convert_llava_med.py writes them for this version"
        )
    model = load_model(
        LlavaForConditionalGeneration,
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
    card = model_folder.read_card(folder)
    first = model.config.text_config.model_type == "llama"
    prompt = system_prompt or card.get("system_prompt") or (SYSTEM_PROMPT if first else "")
    return LlavaMed(model, _processor(folder, model.config), prompt)


def _processor(folder: Path, config: Any) -> LlavaProcessor:
    tokenizer = load_processor(folder, AutoTokenizer)
    return LlavaProcessor(
        load_processor(folder, CLIPImageProcessor),
        tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        image_token=tokenizer.convert_ids_to_tokens(config.image_token_index),
        num_additional_image_tokens=1,
    )


class LlavaMed(VisionLanguageModel):
    """A loaded LLaVA-Med; see :class:`suture.models.base.VideoModel`.

    ``new_tokens`` are those around an image, whose rows of the embedding are trained with the projector where
    ``mm_use_im_start_end`` asks for it.
    """

    placeholder = "image_token_index"

    def __init__(self, model: Any, processor: Any, system_prompt: str) -> None:
        tokenizer, config = processor.tokenizer, model.config
        known = tokenizer.get_vocab()
        marked = {IMAGE_START, IMAGE_END} <= known.keys()
        image = processor.image_token
        self._first = config.text_config.model_type == "llama"
        tokenizer.chat_template = chat_template(f"{IMAGE_START}{image}{IMAGE_END}" if marked else image,
                                                first=self._first)  # fmt: skip
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.unk_token
        super().__init__(model, processor, system_prompt, end=END, lead=" ", start=START)
        self._end = f"{TURN_END}{END}" if self._first else END
        self.new_tokens = tuple(known[token] for token in (IMAGE_START, IMAGE_END)) if marked else ()
        self.language_model = LANGUAGE_MODEL
        self.towers = TOWERS
        self.unused = _unused(config)
        if config.projector_hidden_act == "linear":
            model.model.multi_modal_projector.linear_2.requires_grad_(False)
        vision = config.vision_config
        self._side: int = vision.image_size
        self._patches: int = (vision.image_size // vision.patch_size) ** 2
        look = processor.image_processor
        self._mean = np.array(look.image_mean, np.float32)[:, None, None] * np.float32(255)
        self._std = np.array(look.image_std, np.float32)[:, None, None] * np.float32(255)

    def check_size(self, height: int, width: int) -> None:
        """Refuses any frame size but the tower's own: its positions are learnt."""
        if (height, width) != (self._side, self._side):
            raise InputError(
                f"frames of {height}x{width} pixels; the vision tower sees {self._side}x{self._side}",
                fix=f"cache them at {self._side}x{self._side}",
            )

    def visual_tokens(self, shape: tuple[int, int, int]) -> int:
        """Counts the patches of all images."""
        return shape[0] * self._patches

    def pixels(self, video: Video) -> dict[str, torch.Tensor]:
        """Returns the normalised images, [images, 3, height, width]."""
        values = np.ascontiguousarray(video.frames.transpose(0, 3, 1, 2)).astype(np.float32)
        # In place: new arrays of this size cost more than the arithmetic.
        values -= self._mean
        values /= self._std
        return {PIXELS: torch.from_numpy(values)}

    def without_pixels(self, features: Features) -> dict[str, torch.Tensor]:
        """Returns nothing: positions are those of text."""
        return {}

    def join(self, name: str, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Puts all images behind each other: the tower sees each alone."""
        return torch.cat(list(tensors))

    def seen(self, media: dict[str, torch.Tensor]) -> torch.Tensor:
        """Runs vision tower and projector on one sample's images: [images x patches, width]."""
        tokens: torch.Tensor = torch.cat(list(self.model.get_image_features(media[PIXELS]).pooler_output))
        return tokens

    def fed(self, tokens: torch.Tensor) -> dict[str, Any]:
        """Words features as what the projector made, one image's patches a row."""
        made: Any = list(tokens.reshape(-1, self._patches, tokens.shape[-1]))
        return {"image": BaseModelOutputWithPooling(pooler_output=made)}

    def generate(self, batch: Batch, generation: Generation, seeds: Sequence[int]) -> list[Reply]:
        """Answers, one reply a row; a published model's ``###`` ends an answer too."""
        mark = TURN_END.strip()
        return [
            replace(reply, text=reply.text.split(mark)[0].strip(), truncated=False)
            if self._first and mark in reply.text
            else reply
            for reply in super().generate(batch, generation, seeds)
        ]

    def continued(self, inputs: dict[str, Any], **settings: Any) -> torch.Tensor:
        """Returns a batch's rows with their answers; where the published models end theirs, no more is written."""
        stop = {"stop_strings": [TURN_END], "tokenizer": self.tokenizer} if self._first else {}
        return super().continued(inputs, **settings, **stop)


def _unused(config: Any) -> tuple[str, ...]:
    """Names what comes after the tower's layer that is read, and the identity in a linear projector."""
    layers, read = config.vision_config.num_hidden_layers, config.vision_feature_layer
    # Of layers + 1 states, 0 is the embedding's; from the end when negative.
    last = max((one % (layers + 1) for one in ([read] if isinstance(read, int) else read)), default=layers)
    blocks = [f"{VISION}.encoder.layers.{number}" for number in range(last, layers)]
    identity = [f"{PROJECTOR}.linear_2"] if config.projector_hidden_act == "linear" else []
    return (*blocks, f"{VISION}.post_layernorm", *identity)
