"""CheXbert: which of 14 findings a report tells, and how like two reports are to its encoder.

Source: Smit et al. 2020; model and classes of stanfordmlgroup/CheXbert. The
folder has bert-base-uncased (config.json, tokenizer) and ``chexbert.pth``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, BertModel

from suture import pickled
from suture.errors import InputError
from suture.progress import progress

FINDINGS = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation"),
    *("Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices"),
    "No Finding",
)
"""In the order of the model's heads."""

_TOLD = (1, 3)
"""Classes of a head that count as told: positive and uncertain; 0 is not mentioned, 2 negative."""
_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What CheXbert makes of a report: one flag a finding, and the class token's embedding, [768]."""

    told: tuple[bool, ...]
    embedding: torch.Tensor


class CheXbert:
    """Reads reports with the model in a folder.

    Raises:
        InputError: a file is missing, or the weights are not CheXbert's.
    """

    def __init__(self, folder: Path) -> None:
        weights = next(
            (path for path in (folder / "chexbert.pth", *sorted(folder.glob("*.pth"))) if path.is_file()), None
        )
        if weights is None or not (folder / "config.json").is_file():
            raise InputError(
                "no CheXbert in this folder", where=folder, fix="bert-base-uncased's config and tokenizer, chexbert.pth"
            )
        self._bert = BertModel(AutoConfig.from_pretrained(folder, local_files_only=True), add_pooling_layer=True)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        width = self._bert.config.hidden_size
        heads = [torch.nn.Linear(width, 4) for _ in FINDINGS[:-1]] + [torch.nn.Linear(width, 2)]
        self._model = torch.nn.ModuleDict({"bert": self._bert, "linear_heads": torch.nn.ModuleList(heads)})
        found = {name.removeprefix("module."): tensor for name, tensor in pickled.tensors(weights).items()}
        found.pop("bert.embeddings.position_ids", None)  # written out by old versions of the library
        try:
            self._model.load_state_dict(found)
        except RuntimeError as error:
            raise InputError(f"not CheXbert's weights: {str(error)[:300]}", where=weights) from error
        self._model.eval()

    @torch.inference_mode()
    def read(self, reports: Sequence[str]) -> list[Reading]:
        """Reads reports; at most 512 word pieces of each, as its publisher's program."""
        found = []
        heads: Any = self._model["linear_heads"]
        for at in progress(range(0, len(reports), _BATCH), what="CheXbert", unit="batch"):
            texts = [" ".join(text.split()) for text in reports[at : at + _BATCH]]
            longest = self._bert.config.max_position_embeddings
            batch = self._tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
            first = self._bert(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state[:, 0]
            classes = torch.stack([head(first).argmax(dim=1) for head in heads], dim=1).tolist()
            for row, embedding in zip(classes, first, strict=True):
                found.append(Reading(told=tuple(one in _TOLD for one in row), embedding=embedding.clone()))
        return found


def similarity(one: Reading, other: Reading) -> float:
    """Returns the cosine of two reports' embeddings."""
    return float(torch.nn.functional.cosine_similarity(one.embedding, other.embedding, dim=0))
