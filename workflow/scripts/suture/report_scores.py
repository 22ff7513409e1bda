"""Scores of single reports that models made, kept by the digest of both texts: no word of them is in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from suture import delimited, records
from suture.errors import InputError
from suture.files import sha256_text
from suture.measures import radcliq
from suture.measures.text import bleu, bleu_words


@dataclass(frozen=True, kw_only=True)
class ReportScore(records.Record):
    """What is known of one predicted report beside its gold one; None and () where it was not computed.

    ``told`` and ``gold`` are CheXbert's flags, one a finding.
    """

    pair: str
    bertscore: float | None = None
    bertscore_rescaled: float | None = None
    similarity: float | None = None
    told: tuple[bool, ...] = ()
    gold: tuple[bool, ...] = ()
    radgraph: float | None = None

    def radcliq(self, model: radcliq.Linear, bleu_2: float) -> float | None:
        """Returns RadCliQ, where all that it is made of is there."""
        if self.radgraph is None or self.bertscore_rescaled is None or self.similarity is None:
            return None
        return model(self.radgraph, self.bertscore_rescaled, self.similarity, bleu_2)


def pair(prediction: str, gold: str) -> str:
    """Names two texts."""
    return sha256_text(f"{sha256_text(prediction)} {sha256_text(gold)}")


def bleu_2(prediction: str, gold: str) -> float:
    """Returns BLEU-2 as RadCliQ takes it."""
    return bleu(bleu_words(prediction), bleu_words(gold), 2)[1]


def read(path: Path) -> dict[str, ReportScore]:
    """Reads scores by pair."""
    found: dict[str, ReportScore] = {}
    for row in records.read(path, ReportScore):
        made = ReportScore(**{**row.to_json(), "told": tuple(row.told), "gold": tuple(row.gold)})
        found[made.pair] = made
    return found


def baseline(path: Path, layer: int) -> float:
    """Reads BERTScore's baseline F1 of a layer: the package's ``rescale_baseline/en/<model>.tsv`` (LAYER,P,R,F).

    Raises:
        InputError: no such layer, or another layout.
    """
    for row in delimited.read(path, {"LAYER": (), "P": (), "R": (), "F": ()}, required=["LAYER", "F"]).rows:
        if row.cells["LAYER"] == str(layer):
            value = delimited.number(row.cells["F"])
            if 0 <= value < 1:
                return value
    raise InputError(f"no baseline of layer {layer}", where=path, fix="give the file of this encoder")


def of_rows(pairs: Sequence[tuple[str, str]], scores: Mapping[str, ReportScore]) -> list[ReportScore] | None:
    """Returns the score of each pair; None where one of them has none."""
    found = [scores.get(pair(*one)) for one in pairs]
    return [one for one in found if one is not None] if all(one is not None for one in found) else None
