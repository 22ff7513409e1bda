"""BLIP-2 with a decoder-only language model: FADA's published model, and a small one with the same classes.

The published recipe gives the decoder the question alone and pairs the answer
with padding; here question and answer are both in the decoder's input, and
the answer with its end is what is learnt. Several frames become several
images, one behind the other; FADA's stills are clips of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    GenerationConfig,
    PreTrainedTokenizerFast,
    set_seed,
)
from transformers.models.blip_2.modeling_blip_2 import BaseModelOutputWithVisionQformerOutputs

from suture import model_folder, small_tokenizer
from suture.errors import InputError
from suture.models.base import Batch, Example, Features, Video
from suture.pretrained import load_model, load_processor
from suture.vision_language import VisionLanguageModel

NAME = "blip2"
SYSTEM_PROMPT = ""

# Notebooks of ElyasAmri/fada-v2. What they leave to the library is its own: linear decay, no warm-up, clipping at 1.
PUBLISHED = {
    "model_id": "Salesforce/blip2-opt-2.7b",
    "hub_model_id": "blip2-opt-2.7b-fetal-ultrasound",
    "save_dir": "outputs/blip2",
    "fps": 1.0,
    "size": (224, 224),
    "generation": {
        "max_new_tokens": 100,
        "min_new_tokens": 5,
        "num_beams": 3,
        "no_repeat_ngram_size": 3,
        "repetition_penalty": 1.2,
    },
}
TRAIN_DEFAULTS = {
    "num_epochs": 1,
    "batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.0,
    "max_grad_norm": 1.0,
    "use_qlora": True,
    "bits": 8,
    "r": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "lora_targets": "q_proj,v_proj",
    "precision": "bf16",
}

PIXELS = "pixel_values"
LANGUAGE_MODEL = "language_model.model"
TOWERS = {
    "vision": ("vision_model",),
    "projector": ("qformer", "query_tokens", "language_projection"),
    "language": ("language_model",),
}
UNQUANTIZED = ["vision_model", "qformer", "language_projection", "language_model.lm_head"]

IMAGE = "<image>"
START = "</s>"
"""OPT's texts begin with the token that ends them; the image stands before it."""
SPECIAL = ["<unk>", START, "<pad>", IMAGE]

SMALL_INIT = 0.1
"""Spread of the small model's weights, about 1 / sqrt(width); see suture.models.qwen2_5_vl."""


def chat_template(end: str) -> str:
    """Returns BLIP-2's way of asking, ``Question: ... Answer: ...``, as a chat template.

    Args:
        end: what ends an answer: a line break in the published models, as their configuration says.
    """
    mark = end.replace("\n", "\\n")
    return (
        "{% set opened = namespace(yet=false, system='') %}{% for message in messages %}"
        "{% set text = message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join %}"
        "{% if message['role'] == 'system' %}{% set opened.system = text %}"
        "{% elif message['role'] == 'assistant' %}"
        "{% generation %}{{ ' ' + text + '" + mark + "' }}{% endgeneration %}"
        "{% else %}"
        "{% if not opened.yet %}{% set opened.yet = true %}"
        "{{ '" + IMAGE + "' if message['content'][0]['type'] != 'text' }}{{ '" + START + "' }}"
        # The published models know no system's text; one that is given stands where their texts begin.
        "{{ opened.system + ' ' if opened.system }}"
        "{% endif %}{{ 'Question: ' + text + ' Answer:' }}{% endif %}{% endfor %}"
    )


def build_small(folder: Path) -> None:
    """Saves a BLIP-2 of 0.4 million random weights with tokenizer and processor.

    Its tower sees 56x56 pixels and its Q-Former asks 8 queries. The bytes are the same each time on one machine type.
    """
    backend = small_tokenizer.build(SPECIAL, more="Question: Answer:", domain=small_tokenizer.ULTRASOUND)
    ids = {token: backend.token_to_id(token) for token in SPECIAL}
    # Like the published tokenizer it opens a text by itself, which the template does too.
    backend.post_processor = TemplateProcessing(single=f"{START} $A", special_tokens=[(START, ids[START])])
    side, patch, queries = 56, 14, 8
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=START,
        eos_token=START,
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat_template(START)
    size = {"height": side, "width": side}
    processor = Blip2Processor(BlipImageProcessor(size=size), tokenizer, num_query_tokens=queries)
    set_seed(0)
    model = Blip2ForConditionalGeneration(
        Blip2Config(
            text_config={
                "model_type": "opt",
                "vocab_size": backend.get_vocab_size(),
                "hidden_size": 64,
                "word_embed_proj_dim": 64,
                "ffn_dim": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "max_position_embeddings": 2048,
                "dropout": 0.0,
                "init_std": SMALL_INIT,
                "initializer_range": SMALL_INIT,
                "bos_token_id": ids[START],
                "eos_token_id": ids[START],
                "pad_token_id": ids["<pad>"],
            },
            vision_config={
                "image_size": side,
                "patch_size": patch,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "initializer_range": SMALL_INIT,
            },
            qformer_config={
                "vocab_size": 8,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "cross_attention_frequency": 1,
                "initializer_range": SMALL_INIT,
            },
            num_query_tokens=queries,
            image_text_hidden_size=32,
            image_token_index=ids[IMAGE],
            initializer_range=SMALL_INIT,
        )
    )
    _make_images_heard(model)
    model.generation_config = GenerationConfig(eos_token_id=ids[START], pad_token_id=ids["<pad>"])
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    model_folder.write_card(folder, family=NAME, system_prompt=SYSTEM_PROMPT)


@torch.no_grad()
def _make_images_heard(model: Any) -> None:
    """Draws the small model's towers so that images differ in what the language model is given.

    As the library draws them, queries are all zero, the place of a patch is a
    25th of what is in it, and 6 % of the features' spread is the image's; the
    rest is the same for all. So it is a fifth (measured on drawn ultrasound).
    """
    model.query_tokens.normal_(std=1.0)
    embeddings = model.vision_model.embeddings
    embeddings.patch_embedding.weight.mul_(0.2)
    embeddings.position_embedding.normal_(std=0.5)
    for tower in (model.vision_model.encoder, model.qformer):
        for module in tower.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.mul_(2.0)


def load(
    folder: Path,
    system_prompt: str | None = None,
    *,
    dtype: torch.dtype | None = None,
    quantization: BitsAndBytesConfig | None = None,
    attention: str = "sdpa",
) -> Blip2:
    """Loads a model folder by the library's own classes.

    Args:
        folder: weights, configuration and processor.
        system_prompt: replaces the text stored with the model; the published models know none.
        dtype: type of the weights; None: single precision.
        quantization: how to quantise the language model's linear layers.
        attention: the library's name of the attention to compute with.

    Raises:
        InputError: the folder holds no such model, tensors are missing or
            unexpected, or its language model is an encoder and a decoder.
    """
    model_folder.check_family(folder, NAME)
    model_folder.tensors(folder)
    model = load_model(
        Blip2ForConditionalGeneration,
        folder,
        dtype=dtype or torch.float32,
        quantization=quantization,
        unquantized=UNQUANTIZED,
        attention=attention,
    )
    if not model.config.use_decoder_only_language_model:
        raise InputError(
            f"a language model of type {model.config.text_config.model_type!r}, which is an encoder and a decoder",
            where=folder,
            fix="use a BLIP-2 with OPT, such as Salesforce/blip2-opt-2.7b",
        )
    tokenizer = load_processor(folder, AutoTokenizer)
    _add_image_token(tokenizer, model, folder)
    processor = Blip2Processor(
        load_processor(folder, BlipImageProcessor), tokenizer, num_query_tokens=model.config.num_query_tokens
    )
    prompt = system_prompt or model_folder.read_card(folder).get("system_prompt") or SYSTEM_PROMPT
    return Blip2(model, processor, prompt)


def _add_image_token(tokenizer: Any, model: Any, folder: Path) -> None:
    # The tokenizer in older copies of the published folder does not know the token that the configuration names.
    if tokenizer.convert_tokens_to_ids(IMAGE) in (None, tokenizer.unk_token_id):
        tokenizer.add_tokens([AddedToken(IMAGE, normalized=False, special=True)], special_tokens=True)
    known = tokenizer.convert_tokens_to_ids(IMAGE)
    if model.config.image_token_index is None:
        model.config.image_token_index = known
    if model.config.image_token_index != known or known >= model.get_input_embeddings().num_embeddings:
        raise InputError(
            f"the tokenizer does not know {IMAGE} as the model does: {known}, not {model.config.image_token_index} of "
            f"{model.get_input_embeddings().num_embeddings} tokens",
            where=folder,
            fix="fetch the model at a commit whose tokenizer has it",
        )


class Blip2(VisionLanguageModel):
    """A loaded BLIP-2; see :class:`suture.models.base.VideoModel`."""

    placeholder = "image_token_index"

    def __init__(self, model: Any, processor: Any, system_prompt: str) -> None:
        tokenizer = processor.tokenizer
        end = tokenizer.decode([model.config.text_config.eos_token_id], clean_up_tokenization_spaces=False)
        tokenizer.chat_template = chat_template(end)
        super().__init__(model, processor, system_prompt, end=end, lead=" ")
        self.language_model = LANGUAGE_MODEL
        self.towers = TOWERS
        self._side: int = model.config.vision_config.image_size
        self._queries: int = model.config.num_query_tokens
        image = processor.image_processor
        self._mean = np.array(image.image_mean, np.float32)[:, None, None] * np.float32(255)
        self._std = np.array(image.image_std, np.float32)[:, None, None] * np.float32(255)

    def check_size(self, height: int, width: int) -> None:
        """Refuses any frame size but the tower's own: its positions are learnt."""
        if (height, width) != (self._side, self._side):
            raise InputError(
                f"frames of {height}x{width} pixels; the vision tower sees {self._side}x{self._side}",
                fix=f"cache them at {self._side}x{self._side}",
            )

    def visual_tokens(self, shape: tuple[int, int, int]) -> int:
        """Counts the queries of all frames."""
        return shape[0] * self._queries

    def pixels(self, video: Video) -> dict[str, torch.Tensor]:
        """Returns the normalised frames, [frames, 3, height, width]."""
        values = np.ascontiguousarray(video.frames.transpose(0, 3, 1, 2)).astype(np.float32)
        # In place: new arrays of this size cost more than the arithmetic.
        values -= self._mean
        values /= self._std
        return {PIXELS: torch.from_numpy(values)}

    def without_pixels(self, features: Features) -> dict[str, torch.Tensor]:
        """Returns nothing: positions are those of text."""
        return {}

    def join(self, name: str, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Puts all frames behind each other: the tower sees each alone."""
        return torch.cat(list(tensors))

    def seen(self, media: dict[str, torch.Tensor]) -> torch.Tensor:
        """Runs vision tower, Q-Former and projection on one video's frames: [frames x queries, width]."""
        tokens: torch.Tensor = self.model.get_image_features(media[PIXELS]).pooler_output.flatten(0, 1)
        return tokens

    def fed(self, tokens: torch.Tensor) -> dict[str, Any]:
        """Words features as what the Q-Former and its projection made."""
        made: Any = tokens
        return {"image": BaseModelOutputWithVisionQformerOutputs(pooler_output=made)}

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """Returns what the library's model takes; it asks for pixels even where there are none."""
        inputs = super().inputs(batch)
        if PIXELS not in inputs:
            inputs = {**self.text_inputs(), **inputs}
        return inputs

    def text_inputs(self) -> dict[str, Any]:
        """Returns no pixels, and that nothing was made of them: without both the library's model runs its towers."""
        embedding: torch.Tensor = self.model.get_input_embeddings().weight
        return {PIXELS: None, "mm_encoder_outputs": self.fed(embedding.new_zeros((0, embedding.shape[1])))}

    def loss(self, model: torch.nn.Module, batch: Batch, n_labels: torch.Tensor | int | None) -> torch.Tensor:
        """Cross-entropy of the answers. A tower that is not trained is run without dropout, as for its features."""
        for tower in (self.model.get_submodule(name) for name in ("vision_model", "qformer")):
            tower.train(tower.training and any(parameter.requires_grad for parameter in tower.parameters()))
        return super().loss(model, batch, n_labels)

    def _packed(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        # The library puts a mask of ones where none is given, and then reads no examples from positions.
        batch = super()._packed(examples)
        number = torch.cat([torch.full((len(e.input_ids),), place) for place, e in enumerate(examples)])
        seen = (number[:, None] == number[None, :]).tril()
        return {**batch, "attention_mask": seen[None, None]}

    def continued(self, inputs: dict[str, Any], **settings: Any) -> torch.Tensor:
        """Generates from the language model alone: the library's own way runs the towers whatever is there already."""
        module: Any = self.model
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        if inputs[PIXELS] is None:
            tokens = inputs["mm_encoder_outputs"]["image"].pooler_output
        else:
            tokens = module.get_image_features(inputs[PIXELS]).pooler_output
        embeds = module.get_input_embeddings()(ids)
        place = (ids == self._video_id).unsqueeze(-1)
        embeds = embeds.masked_scatter(place, tokens.to(embeds.dtype))
        out: torch.Tensor = module.language_model.generate(
            input_ids=ids, inputs_embeds=embeds, attention_mask=mask, **settings
        )
        return out
