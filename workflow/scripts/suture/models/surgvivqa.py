"""SurgViVQA: a video encoder, a text encoder that looks at it, and GPT-2 that answers; and a small one of each class.

The network is :mod:`suture.surgvivqa_model`'s, published files are read by
:mod:`suture.surgvivqa_files`. A still is shown as many times as the encoder
takes frames: it is cached, and encoded, once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BitsAndBytesConfig, PreTrainedTokenizerFast, VideoMAEImageProcessor, set_seed

from suture import choice_tree, files, model_folder, small_tokenizer, surgvivqa_files, untold
from suture.errors import InputError
from suture.models.base import Batch, Example, Features, Video
from suture.pretrained import load_model, load_processor
from suture.surgvivqa_model import SurgVivqaConfig, SurgVivqaModel, earlier
from suture.vision_language import FEATURES, VisionLanguageModel

NAME = "surgvivqa"
SYSTEM_PROMPT = ""
ANSWERS = "texts"
MODEL = SurgVivqaModel
ENCODERS = ("vision",)
TAKES_FILES = True
UNTOLD = {"num_frames": 16, "image_size": 224, "head_width": 64, "lora_alpha": 32}
"""What the tensors of a ``best_model.pth`` do not tell, as published; upstream's adapters have an alpha of 16."""

# fine-tune/train_ssgvqa.py and run_finetune.sh of J-I-N-G-L-I/SurgViVQA_on_STSG_VQA.
PUBLISHED = {"save_dir": "fine-tune/ckpt", "size": (224, 224), "fps": 1.0, "max_steps": 30000}
TRAIN_DEFAULTS = {
    "use_lora": True,
    "r": 8,
    "lora_alpha": 32,
    "lora_dropout": 0.1,
    "lora_targets": "c_attn,c_proj",
    "batch_size": 8,
    "gradient_accumulation_steps": 1,
    "learning_rate": 5e-4,
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_ratio": 0.0167,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "precision": "fp16",
    "seed": 42,
}

REFUSED = {
    "use_qlora": "GPT-2 is 0.5 GB: there is nothing to gain from 4 bits",
    "packing": "samples of a row would look at each other's videos: each token looks at one",
    "lora_vision_targets": "published, the video encoder is frozen; train_projector trains BLIP's text encoder",
}

ALIASES = {
    "lr": "learning_rate",
    "lora_r": "r",
    "eval_every_steps": "eval_steps",
    "save_every_steps": "save_steps",
}
"""Published options under another name than ours."""

SWITCHES = {
    "fp16": {"precision": "fp16"},
    "bf16": {"precision": "bf16"},
    "full_finetune": {"use_lora": False, "freeze_vision": True, "freeze_projector": True, "freeze_language": True},
    "train_blip": {"train_projector": True},
    "full_finetune+train_blip": {"train_projector": False, "freeze_projector": False},
    "full_finetune+train_gpt2_full": {"freeze_language": False},
}
"""Published switches, alone or together, to our options; those of more switches come last."""

PROMPT_MODES = ("simple", "choices")
CANDIDATES = "Candidates: {}"

TOWERS = {"vision": ("visual_encoder",), "projector": ("text_encoder",), "language": ("llm",)}

END = "<|endoftext|>"
# Exactly the published prompts: 'Question: q\nAnswer:' and ' LABEL'. The candidates stand between, where there are any.
CHAT_TEMPLATE = (
    "{% set told = namespace(text='') %}{% for message in messages %}"
    "{% set text = message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join %}"
    "{% if message['role'] == 'system' %}{% set told.text = text %}"
    "{% elif message['role'] == 'assistant' %}{% generation %}{{ ' ' + text + '" + END + "' }}{% endgeneration %}"
    "{% else %}{{ 'Question: ' + text + ('\\n' + told.text if told.text else '') + '\\nAnswer:' }}{% endif %}"
    "{% endfor %}"
)

SMALL_INIT = 0.1
"""Spread of the small model's weights, about 1 / sqrt(width); see suture.models.qwen2_5_vl."""


@dataclass(frozen=True, kw_only=True)
class Processor:
    """What belongs to the model beside its weights."""

    tokenizer: Any
    image_processor: Any


def build_small(folder: Path) -> None:
    """Saves a SurgViVQA of 0.5 million random weights with tokenizer and processor, the same bytes each time."""
    backend = small_tokenizer.build([END], more="Question: Answer: Candidates:")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    tokens = backend.get_vocab_size()
    set_seed(0)
    model = SurgVivqaModel(
        SurgVivqaConfig(
            video_config={
                "image_size": 56,
                "patch_size": 14,
                "num_frames": 2,
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "initializer_range": SMALL_INIT,
            },
            reader_config={
                "vocab_size": tokens,
                "hidden_size": 64,
                "encoder_hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "initializer_range": SMALL_INIT,
            },
            text_config={
                "vocab_size": tokens,
                "n_embd": 64,
                "n_layer": 2,
                "n_head": 4,
                "n_positions": 512,
                "resid_pdrop": 0.0,
                "embd_pdrop": 0.0,
                "attn_pdrop": 0.0,
                "initializer_range": SMALL_INIT,
                "bos_token_id": 0,
                "eos_token_id": 0,
            },
        )
    )
    size = {"height": 56, "width": 56}
    _save(model, tokenizer, VideoMAEImageProcessor(size=size, crop_size=size), folder)


def assemble(folders: Sequence[Path], folder: Path) -> None:
    """Saves a model put together of three: VideoMAE, BLIP for question answering, GPT-2.

    Raises:
        InputError: there are not three, or one is no such model.
    """
    if len(folders) != 3:
        raise InputError(
            f"{len(folders)} models, and SurgViVQA is made of three",
            fix="MCG-NJU/videomae-base+Salesforce/blip-vqa-base+openai-community/gpt2",
        )
    model, tokenizer = surgvivqa_files.assemble(*folders)
    _save(model, tokenizer, load_processor(folders[0], VideoMAEImageProcessor), folder)


def take_file(path: Path, folder: Path, classes: list[str] | None = None, **told: int) -> dict[str, Any]:
    """Makes a model folder of a published ``best_model.pth``.

    GPT-2's tokenizer is not in the file: its ``vocab.json`` and ``merges.txt``
    must lie beside it, or in a folder ``gpt2`` beside it.

    Args:
        path: the file.
        folder: to write.
        classes: none: answers are words.
        told: in place of :data:`UNTOLD`.

    Returns:
        How its tensors fit the model, and what is ``assumed`` and ``told``.

    Raises:
        InputError: it is no such file, or the tokenizer is not there.
    """
    values = {**UNTOLD, **told}
    model, table = surgvivqa_files.load(path, **values)
    if not table.adapted:
        del values["lora_alpha"]
    place = next((p for p in (path.parent, path.parent / "gpt2") if _has_tokenizer(p)), None)
    if place is None:
        raise InputError(
            "GPT-2's tokenizer is not in the file", where=path, fix="put vocab.json and merges.txt of gpt2 beside it"
        )
    size = int(model.config.video_config.image_size)
    square = {"height": size, "width": size}
    _save(model, _tokenizer(place), VideoMAEImageProcessor(size=square, crop_size=square), folder)
    assumed = {name: value for name, value in values.items() if name not in told}
    return {**table.to_json(), "assumed": assumed, "told": told, "words": table.words + untold.words(values, told)}


def _has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file()


def show_frames(folder: Path, num_frames: int) -> None:
    """Has a model folder's video encoder take another number of frames: its positions are computed, not learnt.

    Raises:
        InputError: the encoder joins frames, and this many cannot be joined.
    """
    config = files.read_json(folder / "config.json")
    joined = config["video_config"].get("tubelet_size", 2)
    if num_frames < 1 or num_frames % joined:
        raise InputError(f"{num_frames} frames: the encoder joins each {joined} of them", fix="give a multiple")
    config["video_config"]["num_frames"] = num_frames
    files.write_text(folder / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")


def _save(model: SurgVivqaModel, tokenizer: Any, image: Any, folder: Path) -> None:
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.pad_token = tokenizer.eos_token
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    image.save_pretrained(folder)
    model_folder.write_card(folder, family=NAME, system_prompt=SYSTEM_PROMPT)


def _tokenizer(folder: Path) -> Any:
    return load_processor(folder, PreTrainedTokenizerFast)


def load(
    folder: Path,
    system_prompt: str | None = None,
    *,
    dtype: torch.dtype | None = None,
    quantization: BitsAndBytesConfig | None = None,
    attention: str = "sdpa",
) -> SurgViVQA:
    """Loads a model folder.

    Args:
        folder: weights, configuration, tokenizer and image processor.
        system_prompt: the candidates of prompt mode ``choices``; None: what is stored with the model.
        dtype: type of the weights; None: single precision.
        quantization: none is possible.
        attention: ``sdpa`` or ``eager``.

    Raises:
        InputError: the folder holds no such model, tensors are missing or
            unexpected, or it is to be quantised or to compute with flash attention.
    """
    model_folder.check_family(folder, NAME)
    model_folder.tensors(folder)
    if quantization is not None:
        raise InputError(f"a quantised SurgViVQA: {REFUSED['use_qlora']}", fix="use_lora: true")
    if attention not in choice_tree.TREE_ATTENTIONS:
        raise InputError(f"attention {attention!r}: its mask says which token sees which", fix="use attention: sdpa")
    model = load_model(SurgVivqaModel, folder, dtype=dtype or torch.float32, attention=attention)
    tokenizer = _tokenizer(folder)
    tokenizer.chat_template, tokenizer.pad_token = CHAT_TEMPLATE, tokenizer.eos_token
    processor = Processor(tokenizer=tokenizer, image_processor=load_processor(folder, VideoMAEImageProcessor))
    told = model_folder.read_card(folder).get("system_prompt") if system_prompt is None else system_prompt
    return SurgViVQA(model, processor, told or SYSTEM_PROMPT)


class SurgViVQA(VisionLanguageModel):
    """A loaded model; see :class:`suture.models.base.VideoModel`."""

    placeholder = ""
    encoders = ENCODERS

    def __init__(self, model: Any, processor: Any, system_prompt: str) -> None:
        super().__init__(model, processor, system_prompt, end=END, lead=" ")
        config = model.config
        self.language_model = "llm"
        self.towers = TOWERS
        self.unseen = tuple(name for name, _ in model.named_modules() if name.endswith(".crossattention"))
        # Both read one position for each token.
        self.max_length = min(config.text_config.n_positions, config.reader_config.max_position_embeddings)
        self.num_frames: int = config.video_config.num_frames
        self._side: int = config.video_config.image_size
        self._patch: int = config.video_config.patch_size
        self._joined: int = config.video_config.tubelet_size
        image = processor.image_processor
        self._mean = np.array(image.image_mean, np.float32)[:, None, None] * np.float32(255)
        self._std = np.array(image.image_std, np.float32)[:, None, None] * np.float32(255)

    def check_size(self, height: int, width: int) -> None:
        """Refuses any frame size but the encoder's own."""
        if (height, width) != (self._side, self._side):
            raise InputError(
                f"frames of {height}x{width} pixels; the video encoder sees {self._side}x{self._side}",
                fix=f"cache them at {self._side}x{self._side}",
            )

    def visual_tokens(self, shape: tuple[int, int, int]) -> int:
        """Counts the video's tokens: one for each patch of each pair of frames.

        Raises:
            InputError: it is neither a still nor as many frames as the encoder takes.
        """
        if shape[0] not in (1, self.num_frames):
            raise InputError(
                f"{shape[0]} frames, and the video encoder takes {self.num_frames}; one, a still, is repeated",
                fix=f"frames: {{count: {self.num_frames}}} for videos, {{count: 1}} for stills, or another num_frames",
            )
        return self.num_frames // self._joined * (self._side // self._patch) ** 2

    def count_tokens(self, turns: Sequence[Any], shape: tuple[int, int, int] | None) -> int:
        """Counts the tokens of the text: the video is looked at from aside."""
        if shape is not None:
            self.visual_tokens(shape)
        return super().count_tokens(turns, shape)

    def pixels(self, video: Video) -> dict[str, torch.Tensor]:
        """Returns the normalised frames, [frames, 3, height, width]; of a still one."""
        values = np.ascontiguousarray(video.frames.transpose(0, 3, 1, 2)).astype(np.float32)
        values -= self._mean
        values /= self._std
        return {"pixel_values": torch.from_numpy(values)}

    def without_pixels(self, features: Features) -> dict[str, torch.Tensor]:
        """Returns nothing: positions are those of text."""
        return {}

    def join(self, name: str, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Stacks videos; a still among them is repeated as often as the encoder takes frames."""
        if name == "pixel_values":
            tensors = [one.expand(self.num_frames, -1, -1, -1) if len(one) == 1 else one for one in tensors]
        return torch.stack(list(tensors))

    def collate(
        self, examples: Sequence[Example], *, pad_left: bool = False, pack: bool = False
    ) -> dict[str, torch.Tensor]:
        """Makes one batch of examples.

        Raises:
            InputError: ``pack``.
        """
        if pack:
            raise InputError(f"packing: {REFUSED['packing']}", fix="leave out packing")
        return super().collate(examples, pad_left=pad_left)

    def seen(self, media: dict[str, torch.Tensor]) -> torch.Tensor:
        """Runs the video encoder on one video: [tokens, width]."""
        states: torch.Tensor = self._module().video_states_of(media["pixel_values"].to(self._module().dtype))[0]
        return states

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """Returns what the model takes of a batch; with features there, the video encoder is not run."""
        inputs = {name: value for name, value in batch.items() if name not in ("labels", FEATURES)}
        if FEATURES in batch:
            inputs["video_states"] = batch[FEATURES]
        return inputs

    def continued(self, inputs: dict[str, Any], **settings: Any) -> torch.Tensor:
        """Generates; each video is encoded once, not once a word."""
        settings["generation_config"].use_cache = False
        out: torch.Tensor = self.model.generate(**self._encoded(inputs), **settings)
        return out

    @torch.inference_mode()
    def score(self, batch: Batch, answers: choice_tree.Tree) -> torch.Tensor:
        """Returns the summed log-probabilities of answers' tokens, [rows, answers], float64, on the CPU.

        One pass runs each question with the whole tree of answers behind it,
        where a token sees the question and its own ancestors only.
        """
        self.model.eval()
        inputs = self._encoded(self.inputs({name: value.to(self.model.device) for name, value in batch.items()}))
        ids, mask = inputs.pop("input_ids"), inputs.pop("attention_mask")
        rows, words = ids.shape
        # What a token that nothing follows would say is not asked for.
        inner = sorted({parent for parent in answers.parents if parent >= 0})
        nodes = torch.tensor([answers.tokens[node] for node in inner], dtype=ids.dtype, device=ids.device)
        depths = torch.tensor([answers.depths[node] for node in inner], device=ids.device)
        seen = torch.zeros(rows, 1, words + len(inner), words + len(inner), dtype=torch.bool, device=ids.device)
        seen[:, :, :words, :words] = earlier(mask)
        seen[:, :, words:, :words] = mask.bool()[:, None, None]
        seen[:, :, words:, words:] = choice_tree.sees(answers, inner).to(ids.device)
        positions = choice_tree.text_positions(mask)
        behind = positions[:, -1:] + 1 + depths
        out = self.model(
            input_ids=torch.cat([ids, nodes.expand(rows, -1)], dim=1),
            attention_mask=seen,
            position_ids=torch.cat([positions, behind], dim=1),
            logits_to_keep=len(inner) + 1,
            **inputs,
        )
        place = {-1: 0, **{node: number for number, node in enumerate(inner, start=1)}}
        where = torch.tensor([place[parent] for parent in answers.parents], device=ids.device)
        said = torch.tensor([answers.tokens], device=ids.device)
        nodes_said = choice_tree.log_probabilities([out.logits], where, said)
        return torch.stack([nodes_said[:, list(path)].sum(dim=1) for path in answers.paths], dim=1).cpu()

    def _encoded(self, inputs: dict[str, Any]) -> dict[str, Any]:
        pixels = inputs.pop("pixel_values", None)
        if pixels is not None:
            inputs["video_states"] = self._module().video_states_of(pixels.to(self._module().dtype))
        return inputs

    def _module(self) -> SurgVivqaModel:
        """Returns the network itself, also where adapters wrap it."""
        wrapped: Any = self.model
        found: SurgVivqaModel = wrapped.get_base_model() if hasattr(wrapped, "get_base_model") else wrapped
        return found
