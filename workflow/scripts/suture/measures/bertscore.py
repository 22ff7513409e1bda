"""BERTScore from a local encoder: how like two texts are in meaning, word piece by word piece.

Each piece of one text is matched with the most similar piece of the other, by
the cosine of their contextual embeddings; precision is the mean over the
answer's pieces, recall over the gold's, F1 their harmonic mean. As the package
bert-score 0.3.13 computes it without idf and without rescaling.

Source: Zhang et al. 2020, BERTScore: Evaluating Text Generation with BERT.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from suture import libraries
from suture.errors import InputError
from suture.progress import progress

# The layers that agree best with people, of encoders told apart by kind, number of layers and width
# (bert_score.utils.model2layers): roberta-large, roberta-base, distilroberta-base, bert-base, bert-large,
# distilbert-base.
LAYERS = {
    ("roberta", 24, 1024): 17,
    ("roberta", 12, 768): 10,
    ("roberta", 6, 768): 5,
    ("bert", 12, 768): 9,
    ("bert", 24, 1024): 18,
    ("distilbert", 6, 768): 5,
}
_BATCH = 32


class BertScore:
    """Scores texts with the encoder in a folder; texts that come again are not encoded again.

    Args:
        folder: an encoder with its tokenizer, as the library saves them.
        layer: whose output is compared, from 1; None: that of :data:`LAYERS`, else the last.
        threads: CPU threads.

    Raises:
        InputError: the folder holds no encoder, or it has fewer layers.
    """

    def __init__(self, folder: Path, layer: int | None = None, *, threads: int = 1) -> None:
        libraries.prepare(threads=threads)
        from transformers import AutoModel, AutoTokenizer

        if not (folder / "config.json").is_file():
            raise InputError("no encoder in this folder", where=folder, fix="give one with config.json and weights")
        try:
            self._encoder: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, add_prefix_space=True)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"not an encoder with its tokenizer: {error}", where=folder, fix="save both there"
            ) from error
        config = self._encoder.config
        shape = (config.model_type, config.num_hidden_layers, config.hidden_size)
        self.layer = layer or LAYERS.get(shape, config.num_hidden_layers)
        if not 1 <= self.layer <= config.num_hidden_layers:
            raise InputError(f"there is no layer {self.layer}", where=folder, fix=f"1 to {config.num_hidden_layers}")
        # What is left behind the padding and the two special pieces; RoBERTa counts positions from its padding's id.
        positions = config.max_position_embeddings - (config.pad_token_id + 1 if config.model_type == "roberta" else 0)
        self._longest = min(self._tokenizer.model_max_length, positions)
        self._known: dict[tuple[str, str], float] = {}
        self.definition = (
            f"BERTScore F1 (Zhang et al. 2020), layer {self.layer} of a {config.model_type} encoder of "
            f"{config.num_hidden_layers} layers, no idf, not rescaled; mean over answers"
        )

    def f1(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Returns the F1 of each (prediction, gold) pair; 0 where one of them is empty."""
        new = sorted(set(pairs) - set(self._known), key=lambda pair: (len(pair[0]) + len(pair[1]), pair))
        starts = range(0, len(new), _BATCH)
        for start in progress(starts, what="BERTScore", unit="batch") if len(starts) > 1 else starts:
            batch = new[start : start + _BATCH]
            self._known |= dict(zip(batch, self._score(batch), strict=True))
        return [self._known[pair] for pair in pairs]

    @torch.inference_mode()
    def _score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        said, said_there, said_counts = self._encode([pair[0] for pair in pairs])
        gold, gold_there, gold_counts = self._encode([pair[1] for pair in pairs])
        alike = said @ gold.transpose(1, 2)  # [pairs, said, gold]
        alike = alike.masked_fill(~(said_there[:, :, None] & gold_there[:, None, :]), 0.0)
        precision = (alike.amax(dim=2) * said_counts).sum(dim=1) / said_counts.sum(dim=1)
        recall = (alike.amax(dim=1) * gold_counts).sum(dim=1) / gold_counts.sum(dim=1)
        f1 = (2 * precision * recall / (precision + recall)).nan_to_num(0.0)
        found: list[float] = f1.tolist()
        return found

    def _encode(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns unit embeddings [texts, pieces, width], which pieces are there, and which count: special ones do not.

        Special pieces may still be what another piece is most like: so in the package.
        """
        inputs = self._tokenizer(
            [text.strip() for text in texts],
            padding=True,
            truncation=True,
            max_length=self._longest,
            return_tensors="pt",
            return_special_tokens_mask=True,
        )
        special = inputs.pop("special_tokens_mask").bool()
        there = inputs["attention_mask"].bool()
        hidden = self._encoder(**inputs, output_hidden_states=True).hidden_states[self.layer]
        return torch.nn.functional.normalize(hidden, dim=-1), there, (there & ~special).to(hidden.dtype)
