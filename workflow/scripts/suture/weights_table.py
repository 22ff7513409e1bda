"""Which tensors of a model folder have a place in its model, and the other way round: found without loading it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, AutoModelForImageTextToText

from suture import model_folder
from suture.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Table:
    """The comparison, by the names that the model's class uses.

    Attributes:
        model: name of the class.
        stored: tensors in the files; some classes join several of them in one.
        matched: places of the model that a tensor goes to.
        tied: places that have no tensor of their own, being another's.
        missing: places without a tensor.
        unexpected: tensors without a place.
        mismatched: places whose tensor has another shape.
    """

    model: str
    stored: int
    matched: int
    tied: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: list[str]

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)

    @property
    def words(self) -> str:
        """One line for a user."""
        counts = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.mismatched}
        others = "".join(f", {len(names)} {word}" for word, names in counts.items())
        return f"{self.model}: {self.matched} tensors matched, {len(self.tied)} tied{others}"


def compare(folder: Path, kind: Any = None) -> Table:
    """Loads a model's skeleton, which holds no numbers, from its files: by the library's own rules of names.

    Args:
        folder: of the model.
        kind: its class; None: the library's, that config.json names.

    Raises:
        InputError: the class is not known, or the files cannot be read.
    """
    try:
        known = AutoConfig if kind is None else kind.config_class
        config = known.from_pretrained(folder, trust_remote_code=False)
        kind = kind or _class_of(config)
        model, report = kind.from_pretrained(
            folder,
            config=config,
            device_map="meta",
            dtype="auto",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are listed here, and refused below
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise InputError(f"not a model that the library knows: {error}", where=folder) from error
    places = set(model.state_dict())
    missing = {str(name) for name in report["missing_keys"]}
    mismatched = {str(one[0] if isinstance(one, tuple | list) else one) for one in report["mismatched_keys"]}
    stored = model_folder.tensors(folder)
    tied = (set(model.all_tied_weights_keys) & places) - stored.keys()
    return Table(
        model=kind.__name__,
        stored=len(stored),
        matched=len(places - missing - mismatched - tied),
        tied=sorted(tied),
        missing=sorted(missing),
        unexpected=sorted(map(str, report["unexpected_keys"])),
        mismatched=sorted(mismatched),
    )


def check(table: Table, *, where: object) -> None:
    """Refuses a folder whose tensors are not the model's.

    Raises:
        InputError: none matched, or not each has its place and each place its tensor.
    """
    wrong = [*table.missing, *table.unexpected, *table.mismatched]
    if wrong or not table.matched:
        named = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        raise InputError(
            f"the weights are not the model's: {table.words}: {named}",
            where=where,
            fix="give the folder as its publisher made it, weights and config.json of one model",
        )


def _class_of(config: Any) -> Any:
    """Returns the class that the configuration names, or the library's for models that answer from pictures."""
    if not config.architectures:
        return AutoModelForImageTextToText
    found = getattr(transformers, config.architectures[0], None)
    if found is None:
        raise ValueError(f"there is no class {config.architectures[0]}")
    return found
