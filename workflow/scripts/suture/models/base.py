"""What a model family offers. A family is a module with the names of :class:`Family`.

A family supplies model, inputs and loss; never a training loop. Loop, caches,
augmentation, checkpoints and prediction know no family by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from suture.config.generation import Generation
from suture.records import Turn
from suture.video.reading import Frames

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PreTrainedModel

    from suture.choice_tree import Tree

Batch = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True, kw_only=True)
class Video:
    """Frames as a model sees them: uint8 [n, height, width, 3], ``frame_seconds`` apart (0: one frame)."""

    frames: Frames
    frame_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Features:
    """What a frozen vision tower and projector made of a video: the rows that stand for it in the sequence.

    ``tokens`` is [visual tokens, width of the language model]; ``shape`` is
    (frames, height, width) of what the tower saw, ``frame_seconds`` its pace.
    """

    tokens: torch.Tensor
    shape: tuple[int, int, int]
    frame_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Example:
    """One conversation, ready to be collated.

    ``labels`` equal ``input_ids`` on the assistant's answers and what ends
    them, and are -100 everywhere else. ``media`` holds the family's own
    tensors for the video, empty where there is none.
    """

    input_ids: list[int]
    labels: list[int]
    media: Batch


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a model said. ``truncated``: it had not ended within its budget of tokens.

    ``scores``: of all choices, where it was one of a closed set, or of the classes of a classifier.
    """

    text: str
    truncated: bool
    scores: Mapping[str, float] = field(default_factory=dict)


class VideoModel(Protocol):
    """A loaded model with its processor.

    :class:`suture.vision_language.VisionLanguageModel` is the start of those
    that answer in words, :class:`suture.classifier.VideoClassifier` of those
    whose answer is one of a list of classes.

    ``language_model`` is the name of the module in ``model`` that is the
    language model: what adapters are for, and the only part ever quantised.
    ``towers`` divides the parameters: names of modules for ``vision``,
    ``projector`` and ``language``, or ``vision`` and ``head``. The longest name
    that fits decides, and each parameter belongs to one tower. ``unused`` are
    modules and parameters that are not trained: the loss on a video's answers
    never reaches them, or the options leave them as they are.
    ``encoders`` are the towers whose outputs a cache of features holds, and
    ``unseen`` modules beside them that nothing reaches where no video is shown.
    """

    model: PreTrainedModel
    language_model: str
    towers: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...]
    encoders: tuple[str, ...]
    unseen: tuple[str, ...]
    system_prompt: str
    max_length: int

    def check_size(self, height: int, width: int) -> None:
        """Refuses a frame size that the vision tower cannot take.

        Raises:
            InputError: naming the sizes that it can.
        """
        ...

    def count_tokens(self, turns: Sequence[Turn], shape: tuple[int, int, int] | None) -> int:
        """Counts the tokens of a conversation with a video of (frames, height, width), without its pixels."""
        ...

    def encode(self, turns: Sequence[Turn], video: Video | Features | None, *, for_reply: bool = False) -> Example:
        """Turns a conversation into token ids, labels and media.

        From :class:`Features` the same ids and labels come as from the frames
        they were made of; their tower is then not run.

        With ``for_reply`` the last turn is a question whose answer is asked
        for: its ``answer`` is not read, and the ids end where the answer starts.
        """
        ...

    def collate(
        self, examples: Sequence[Example], *, pad_left: bool = False, pack: bool = False
    ) -> dict[str, torch.Tensor]:
        """Makes examples one batch: padded for ``loss``, padded left for ``generate``.

        With ``pack`` they stand one behind the other in one row without
        padding, each blind to the others: the loss is that of the padded batch.

        Raises:
            InputError: ``pack`` with an attention that cannot keep them apart.
        """
        ...

    def features(self, videos: Sequence[Video]) -> list[torch.Tensor]:
        """Runs vision tower and projector in evaluation mode, one video at a time: [tokens, width] each, on the CPU."""
        ...

    def loss(self, model: torch.nn.Module, batch: Batch, n_labels: torch.Tensor | int | None) -> torch.Tensor:
        """Returns the summed cross-entropy over labelled tokens, divided by ``n_labels``.

        ``model`` is :attr:`model`, perhaps wrapped. ``n_labels`` counts the
        labels of all batches of an optimiser step; None: those of this batch.
        """
        ...

    def generate(self, batch: Batch, generation: Generation, seeds: Sequence[int]) -> list[Reply]:
        """Answers, one reply a row.

        Args:
            batch: padded left.
            generation: greedy, or how to draw. Settings that a model folder brings are not used.
            seeds: one a row: what is drawn for a row does not depend on the others of its batch.
        """
        ...

    def answer_tokens(self, turns: Sequence[Turn], answer: str) -> tuple[int, ...]:
        """Returns the tokens that :meth:`encode` gives an answer to the last question, with the one that ends it."""
        ...

    def score(self, batch: Batch, answers: Tree) -> torch.Tensor:
        """Returns the summed log-probabilities of answers' tokens, [rows, answers], float64, on the CPU.

        Each is what a pass of its own would give (:mod:`suture.choice_tree`).

        Args:
            batch: of questions, padded left.
            answers: made of :meth:`answer_tokens`.
        """
        ...


class Family(Protocol):
    """A module in ``suture/models``."""

    SYSTEM_PROMPT: str
    """Used where a model folder does not bring its own."""

    TRAIN_DEFAULTS: Mapping[str, bool | int | float | str]
    """The published defaults of training options, where they are not the general ones. A literal: it is read
    without an import."""

    ANSWERS: str
    """``texts``, also where it is not said, or ``classes``. A literal, as these, which a family may have:

    - ``REFUSED``: for each training option that the family has no use for, the reason;
    - ``BUILT``: names of models that its function ``build(name, folder)`` saves with random weights;
    - ``REMADE``: tensors whose shape follows from the run, not from the base;
    - ``ENCODERS``: its models' ``encoders``, where they are not vision tower and projector;
    - ``ALIASES``: published options under another name than ours; ``SWITCHES``: published switches, alone or
      joined by ``+``, to the options that they mean;
    - ``PROMPT_MODES`` and ``CANDIDATES``: see :mod:`suture.prompt_modes`.

    Where a family's weights come as files that the library cannot read,
    ``take_file(path, folder, classes)`` makes a model folder of one; a family
    that answers in words says ``TAKES_FILES = True``, and ``UNTOLD`` what their
    tensors leave open, with the published values: further arguments of it. Where a model is put
    together of several, ``assemble(folders, folder)`` does it, and where the
    number of frames is its user's, ``show_frames(folder, num_frames)`` sets it.
    A family with a model class of its own names it: ``MODEL``."""

    def build_small(self, folder: Path) -> None:
        """Saves a small model with random weights and its processor, the same bytes each time."""
        ...

    def load(
        self,
        folder: Path,
        system_prompt: str | None = None,
        *,
        dtype: torch.dtype | None = None,
        quantization: BitsAndBytesConfig | None = None,
        attention: str = "sdpa",
    ) -> VideoModel:
        """Loads a model folder by the library's own classes.

        Args:
            folder: weights, configuration and processor.
            system_prompt: replaces the text stored with the model.
            dtype: type of the weights; None: single precision.
            quantization: how to quantise the language model's linear layers.
            attention: the library's name of the attention to compute with.

        Raises:
            InputError: the folder holds no such model, tensors are missing or
                unexpected, or the attention is not there.
        """
        ...
