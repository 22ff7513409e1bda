"""What decoders have in common that read a video as a run of placeholder tokens.

A family derives from :class:`VisionLanguageModel` and says how many tokens a
video becomes, what its tower reads, and where positions are not those of text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from suture import chat, choice_tree, sampling
from suture.config.generation import Generation
from suture.errors import InputError
from suture.models.base import Batch, Example, Features, Reply, Video
from suture.records import Turn

PIXELS = "pixel_values_videos"
"""Name under which the library's models take videos."""

FEATURES = "features"
"""Name in a batch of what the towers made already, [visual tokens of all videos, width]."""


class VisionLanguageModel(ABC):
    """A loaded model; see :class:`suture.models.base.VideoModel`.

    Args:
        model: the library's model.
        processor: the library's processor.
        system_prompt: text of the system message.
        end: token that ends an answer.
        lead: what the chat template writes between its prompt and an answer.
        start: token before the text, where the family has one.

    Raises:
        InputError: the tokenizer does not know these tokens; where its files are missing, the library makes one
            that knows none.
    """

    language_model: str
    towers: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...] = ()
    placeholder = "video_token_id"
    """Where the configuration names the token that stands for what is shown; '': none does, it is looked at aside."""
    encoders: tuple[str, ...] = ("vision", "projector")
    """The towers that make features: what comes before the words."""
    unseen: tuple[str, ...] = ()
    """Modules beside ``encoders`` that nothing reaches where no video is shown."""

    def __init__(
        self, model: Any, processor: Any, system_prompt: str, *, end: str, lead: str = "", start: str = ""
    ) -> None:
        self.model = model
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.system_prompt = system_prompt
        self.max_length: int = model.config.text_config.max_position_embeddings
        self._end, self._lead = end, lead
        self._start = [self._id_of(start)] if start else []
        self._video_id: int = getattr(model.config, self.placeholder) if self.placeholder else -1
        self._end_id = self._id_of(end)
        self._pad_id: int = self.tokenizer.pad_token_id
        self._text = lru_cache(maxsize=200_000)(self._encode_text)

    @abstractmethod
    def check_size(self, height: int, width: int) -> None:
        """Refuses a frame size that the vision tower cannot take."""

    @abstractmethod
    def visual_tokens(self, shape: tuple[int, int, int]) -> int:
        """Returns how many tokens a video of (frames, height, width) becomes."""

    @abstractmethod
    def pixels(self, video: Video) -> dict[str, torch.Tensor]:
        """Returns what the tower reads, and what goes with it; batches join them end to end (see ``join``)."""

    @abstractmethod
    def without_pixels(self, features: Features) -> dict[str, torch.Tensor]:
        """Returns what goes with a video whose features are there already."""

    @abstractmethod
    def join(self, name: str, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Joins one kind of tensor of a batch's videos, in order."""

    def extras(self, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Returns what the model needs beside the tokens of a batch."""
        return {}

    def positions(self, example: Example) -> torch.Tensor:
        """Returns the positions of one example in a packed row, [..., 1, tokens]."""
        return torch.arange(len(example.input_ids))[None]

    def _id_of(self, mark: str) -> int:
        found = self.tokenizer.convert_tokens_to_ids(mark)
        if found is not None and self.tokenizer.convert_ids_to_tokens(found) == mark:
            return int(found)
        # Some answers end with a line break, which is no special token.
        read = self.tokenizer(mark, add_special_tokens=False).input_ids
        if len(read) != 1 or self.tokenizer.decode(read) != mark:
            raise InputError(
                f"the tokenizer does not know {mark}",
                where=self.tokenizer.name_or_path,
                fix="fetch_weights.py makes a whole folder",
            )
        return int(read[0])

    def _encode_text(self, turns: tuple[Turn, ...], video: bool, for_reply: bool) -> chat.Encoded:
        return chat.encode(
            self.tokenizer,
            turns,
            self.system_prompt,
            end=self._end,
            lead=self._lead,
            start=self._start,
            video=video,
            for_reply=for_reply,
        )

    def count_tokens(self, turns: Sequence[Turn], shape: tuple[int, int, int] | None) -> int:
        """Counts tokens: those of the text, and the video's in place of its placeholder."""
        text = len(self._text(tuple(turns), shape is not None, False).input_ids)
        return text if shape is None or not self.placeholder else text - 1 + self.visual_tokens(shape)

    def encode(self, turns: Sequence[Turn], video: Video | Features | None, *, for_reply: bool = False) -> Example:
        """Encodes a conversation; the video's placeholder becomes its tokens."""
        text = self._text(tuple(turns), video is not None, for_reply)
        ids = list(text.input_ids)
        labels = chat.labels(len(ids), ids, text.answers)
        if video is None:
            return Example(input_ids=ids, labels=labels, media={})
        if isinstance(video, Features):
            count = self.visual_tokens(video.shape)
            if len(video.tokens) != count:
                raise InputError(
                    f"{len(video.tokens)} rows of features for a video of {video.shape}, which has {count} tokens",
                    fix="make the cache of features again",
                )
            media = {FEATURES: video.tokens, **self.without_pixels(video)}
        else:
            count = self.visual_tokens(tuple(video.frames.shape[:3]))
            media = self.pixels(video)
        if self.placeholder:
            at = ids.index(self._video_id)
            ids[at : at + 1] = [self._video_id] * count
            labels[at : at + 1] = [chat.IGNORED] * count
        return Example(input_ids=ids, labels=labels, media=media)

    def collate(
        self, examples: Sequence[Example], *, pad_left: bool = False, pack: bool = False
    ) -> dict[str, torch.Tensor]:
        """Makes one batch of examples; all of them have a video, or none has.

        Raises:
            InputError: ``pack`` with eager attention, which would let examples see each other.
        """
        batch = self._packed(examples) if pack else self._padded(examples, pad_left=pad_left)
        batch |= self.extras(batch["input_ids"])
        media = [example.media for example in examples if example.media]
        if media:
            batch |= {name: self.join(name, [m[name] for m in media]) for name in media[0]}
        return batch

    def _padded(self, examples: Sequence[Example], *, pad_left: bool) -> dict[str, torch.Tensor]:
        longest = max(len(example.input_ids) for example in examples)

        def padded(row: Sequence[int], filler: int) -> list[int]:
            fill = [filler] * (longest - len(row))
            return [*fill, *row] if pad_left else [*row, *fill]

        return {
            "input_ids": torch.tensor([padded(e.input_ids, self._pad_id) for e in examples]),
            "attention_mask": torch.tensor([padded([1] * len(e.input_ids), 0) for e in examples]),
            "labels": torch.tensor([padded(e.labels, chat.IGNORED) for e in examples]),
        }

    def _packed(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        # Without a mask the library reads from restarting positions where one example ends and the next begins.
        if self.model.config._attn_implementation == "eager":
            raise InputError("packing needs an attention that keeps examples apart", fix="use attention: sdpa")
        return {
            "input_ids": torch.tensor([[token for example in examples for token in example.input_ids]]),
            # The last token of an example predicts nothing of the next one.
            "labels": torch.tensor([[label for e in examples for label in [chat.IGNORED, *e.labels[1:]]]]),
            "position_ids": torch.cat([self.positions(example) for example in examples], dim=-1),
        }

    @torch.no_grad()
    def features(self, videos: Sequence[Video]) -> list[torch.Tensor]:
        """Runs vision tower and projector in evaluation mode, one video at a time: [tokens, width] each, on the CPU."""
        training = self.model.training
        self.model.eval()
        found = []
        for video in videos:
            inputs = {
                name: self.join(name, [value]).to(self.model.device) for name, value in self.pixels(video).items()
            }
            found.append(self.seen(inputs).cpu().clone())
        self.model.train(training)
        return found

    def seen(self, media: dict[str, torch.Tensor]) -> torch.Tensor:
        """Runs vision tower and projector on one video: [tokens, width]."""
        tokens: torch.Tensor = self.model.get_video_features(**self.tower_inputs(media)).pooler_output[0]
        return tokens

    def tower_inputs(self, media: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Returns what of a video's tensors the tower itself takes."""
        return {PIXELS: media[PIXELS]}

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """Returns what the library's models take of a batch; with features there, their towers are not run."""
        inputs: dict[str, Any] = {name: value for name, value in batch.items() if name not in ("labels", FEATURES)}
        if FEATURES in batch:
            inputs["mm_encoder_outputs"] = self.fed(batch[FEATURES])
        return inputs

    def text_inputs(self) -> dict[str, Any]:
        """Returns what the library's model asks for beside tokens where nothing is shown."""
        return {}

    def fed(self, tokens: torch.Tensor) -> dict[str, Any]:
        """Words features as the library's models take what their towers made, [visual tokens of all videos, width]."""
        made: Any = [tokens]
        return {"video": BaseModelOutputWithPooling(pooler_output=made)}

    def continued(self, inputs: dict[str, Any], **settings: Any) -> torch.Tensor:
        """Returns a batch's rows with their answers, [rows, tokens]."""
        out: torch.Tensor = self.model.generate(**inputs, **settings)
        return out

    def loss(self, model: torch.nn.Module, batch: Batch, n_labels: torch.Tensor | int | None) -> torch.Tensor:
        """Cross-entropy with logits only at the columns where some row of the batch has a label."""
        # The hidden state at a position predicts the token after it.
        targets = batch["labels"][:, 1:]
        columns = (targets != chat.IGNORED).any(dim=0).nonzero().squeeze(1)
        logits = model(**self.inputs(batch), use_cache=False, logits_to_keep=columns).logits
        kept = targets[:, columns]
        labelled = kept != chat.IGNORED
        total = cross_entropy(logits[labelled].float(), kept[labelled], reduction="sum")
        return total / (n_labels if n_labels is not None else labelled.sum())

    @torch.inference_mode()
    def generate(self, batch: Batch, generation: Generation, seeds: Sequence[int]) -> list[Reply]:
        """Answers, one reply a row. A repetition penalty, as the library's, counts the words of the question too."""
        inputs = self.inputs({name: value.to(self.model.device) for name, value in batch.items()})
        settings = GenerationConfig(
            max_new_tokens=generation.max_new_tokens,
            do_sample=False,  # draws are made by the processors, one stream a row
            num_beams=generation.num_beams,
            early_stopping=generation.num_beams > 1,
            min_new_tokens=generation.min_new_tokens or None,
            no_repeat_ngram_size=generation.no_repeat_ngram_size,
            eos_token_id=self._end_id,
            pad_token_id=self._pad_id,
        )
        # Each beam is a row to the processors.
        padding = (batch["attention_mask"] == 0).sum(dim=1).repeat_interleave(generation.num_beams)
        drawn = sampling.processors(generation, seeds, padding)
        self.model.eval()
        with _no_settings_of_the_folder(self.model, settings):
            out = self.continued(inputs, generation_config=settings, logits_processor=drawn)
        replies = []
        for row in out[:, batch["input_ids"].shape[1] :].tolist():
            truncated = self._end_id not in row
            said = row if truncated else row[: row.index(self._end_id)]
            text = self.tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            replies.append(Reply(text=text.strip(), truncated=truncated))
        return replies

    def answer_tokens(self, turns: Sequence[Turn], answer: str) -> tuple[int, ...]:
        """Returns the tokens of an answer to the last question, with the one that ends it."""
        encoded = self._text((*turns[:-1], replace(turns[-1], answer=answer)), False, False)
        start, stop = encoded.answers[-1]
        return encoded.input_ids[start:stop]

    @torch.inference_mode()
    def score(self, batch: Batch, answers: choice_tree.Tree) -> torch.Tensor:
        """Returns the summed log-probabilities of answers' tokens, [rows, answers], float64, on the CPU."""
        self.model.eval()
        moved = {name: value.to(self.model.device) for name, value in batch.items()}
        inputs = {**self.inputs(moved), "position_ids": self.prompt_positions(moved)}
        return choice_tree.score(self.model, inputs, answers, beside=self.text_inputs()).cpu()

    def prompt_positions(self, batch: Batch) -> torch.Tensor:
        """Returns the positions of a batch of questions, [..., rows, tokens]; those of text, unless a family says."""
        return choice_tree.text_positions(batch["attention_mask"])


@contextmanager
def _no_settings_of_the_folder(model: torch.nn.Module, settings: GenerationConfig) -> Iterator[None]:
    """Has a model take ``settings`` alone: what they leave open, the library fills in from the model's folder."""
    # Adapters wrap the model whose settings are read, and some models have one inside that speaks for them.
    inner: list[Any] = [module for module in model.modules() if isinstance(module, GenerationMixin)]
    brought = [module.generation_config for module in inner]
    for module in inner:
        module.generation_config = settings
    try:
        yield
    finally:
        for module, own in zip(inner, brought, strict=True):
            module.generation_config = own
