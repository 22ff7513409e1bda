"""What families have in common whose answer is one of a list of classes.

Where others read a video and write words, these give one logit a class. The
sample's one turn has the name of the class as its answer; ``labels`` of a
batch are class numbers, one a row.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from suture.config.generation import Generation
from suture.config.training import Train
from suture.errors import InputError
from suture.losses import Loss, loss_of
from suture.models.base import Batch, Example, Features, Reply, Video
from suture.records import Turn

if TYPE_CHECKING:
    from suture.choice_tree import Tree

PIXELS = "pixels"
"""Name of the frames in a batch: uint8 [rows, frames, height, width, RGB]."""

UNKNOWN = -100
"""Class number of a row whose class is asked for."""


class VideoClassifier(ABC):
    """A loaded classifier; see :class:`suture.models.base.VideoModel`.

    Args:
        model: takes ``pixels``, gives logits [rows, classes].
        classes: their names in the order of the logits.
    """

    language_model = ""
    towers: Mapping[str, tuple[str, ...]]

    def __init__(self, model: Any, classes: Sequence[str]) -> None:
        self.model = model
        self.classes = tuple(classes)
        self.unused: tuple[str, ...] = ()
        self.encoders: tuple[str, ...] = ("vision",)
        self.unseen: tuple[str, ...] = ()
        self.system_prompt = ""
        self.max_length = sys.maxsize  # nothing is a sequence of text that could be too long
        self._loss = Loss()

    @abstractmethod
    def check_size(self, height: int, width: int) -> None:
        """Refuses a frame size that the backbone cannot take."""

    @abstractmethod
    def tokens_of(self, shape: tuple[int, int, int]) -> int:
        """Returns how many tokens a video of (frames, height, width) becomes."""

    @abstractmethod
    def reshape(self, classes: Sequence[str], frames: int, seed: int) -> None:
        """Gives the model a head for these classes, newly drawn where they are others, and frames of this number."""

    @abstractmethod
    def before_last_blocks(self, count: int) -> tuple[str, ...]:
        """Names the modules and parameters that are left as they are where only the last blocks are trained.

        Raises:
            InputError: there are not so many blocks.
        """

    def begin(self, options: Train, answers: Sequence[str], *, classes: Sequence[str] | None, frames: int) -> None:
        """Makes the model one of a run's classes, before the first step.

        Args:
            options: of the run: loss, seed, and how many blocks are trained.
            answers: gold answers of the training samples.
            classes: in their order; None: those of a model that knows them
                all already, else the answers, sorted.
            frames: that a video has.

        Raises:
            InputError: fewer than two classes, or an answer that is none of them.
        """
        found = sorted(set(answers))
        if classes is None:
            classes = self.classes if set(found) <= set(self.classes) else found
        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise InputError(f"these are not two or more classes: {', '.join(classes)}")
        if strange := [answer for answer in found if answer not in classes]:
            raise InputError(
                f"{strange[0]!r} is the class of a training sample and not among {', '.join(classes)}",
                fix="give all classes as --labels (in a config: labels)",
            )
        self.reshape(classes, frames, options.seed)
        self.classes = tuple(classes)
        self._loss = loss_of(options, self.classes, answers)
        if options.n_last_blocks is not None:
            self.unused = self.before_last_blocks(options.n_last_blocks)

    def count_tokens(self, turns: Sequence[Turn], shape: tuple[int, int, int] | None) -> int:
        """Counts the tokens of a video."""
        if shape is None:
            raise InputError("a classifier needs a video")
        return self.tokens_of(shape)

    def encode(self, turns: Sequence[Turn], video: Video | Features | None, *, for_reply: bool = False) -> Example:
        """Turns a video and its class into an example; there are no words to encode.

        Raises:
            InputError: no video, several questions, or an answer that is no class.
        """
        if not isinstance(video, Video):
            raise InputError("a classifier needs the frames of a video")
        if len(turns) != 1:
            raise InputError(
                f"a classifier answers one question a clip; here are {len(turns)}", fix="keep the question of the class"
            )
        answer = turns[0].answer
        if not for_reply and answer not in self.classes:
            raise InputError(f"{answer!r} is none of the classes {', '.join(self.classes)}")
        number = UNKNOWN if for_reply else self.classes.index(answer)
        return Example(input_ids=[], labels=[number], media={PIXELS: torch.from_numpy(video.frames.copy())})

    def collate(
        self, examples: Sequence[Example], *, pad_left: bool = False, pack: bool = False
    ) -> dict[str, torch.Tensor]:
        """Makes examples one batch; all have the same shape of frames."""
        return {
            PIXELS: torch.stack([example.media[PIXELS] for example in examples]),
            "labels": torch.tensor([example.labels[0] for example in examples]),
        }

    def features(self, videos: Sequence[Video]) -> list[torch.Tensor]:
        """Refuses: no part of a classifier is run once for all epochs.

        Raises:
            InputError: always.
        """
        raise InputError("the features of a classifier are not cached", fix="leave out cache_features")

    def answer_tokens(self, turns: Sequence[Turn], answer: str) -> tuple[int, ...]:
        """Refuses: a classifier says one of its own classes, each with its score.

        Raises:
            InputError: always.
        """
        raise InputError("a classifier has its own classes, and always says the score of each", fix="leave out choices")

    def score(self, batch: Batch, answers: Tree) -> torch.Tensor:
        """Refuses, as :meth:`answer_tokens`.

        Raises:
            InputError: always.
        """
        raise InputError("a classifier has its own classes, and always says the score of each", fix="leave out choices")

    def loss(self, model: torch.nn.Module, batch: Batch, n_labels: torch.Tensor | int | None) -> torch.Tensor:
        """Returns the summed loss of the rows, divided by ``n_labels``."""
        return self.loss_of(model(batch[PIXELS]), batch, n_labels)

    def loss_of(self, logits: torch.Tensor, batch: Batch, n_labels: torch.Tensor | int | None) -> torch.Tensor:
        """Returns the loss of logits that are there already."""
        return self._loss(logits, batch["labels"]).sum() / (n_labels if n_labels is not None else len(logits))

    @torch.inference_mode()
    def generate(self, batch: Batch, generation: Generation, seeds: Sequence[int]) -> list[Reply]:
        """Answers with the most probable class, and the log-probability of each; nothing is drawn."""
        self.model.eval()
        scores = self.model(batch[PIXELS].to(self.model.device)).float().log_softmax(dim=1).cpu()
        return [
            Reply(
                text=self.classes[int(row.argmax())],
                truncated=False,
                scores=dict(zip(self.classes, (round(one, 6) for one in row.tolist()), strict=True)),
            )
            for row in scores
        ]
