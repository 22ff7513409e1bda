"""How questions are answered."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from suture.config.generation import Generation


class Predict(Generation):
    """Answering questions that the model was not trained on (`predict`)."""

    model_config = ConfigDict(extra="forbid", validate_default=True, strict=True)

    settings: Literal["own", "published"] = Field(
        "own",
        description="`published`: the family's published way to answer (`predict.py --settings published --help` shows "
        "it), where a key here does not say otherwise.",
    )
    split: Literal["test", "val"] = Field(
        "test", description="Whose questions are asked and scored. The published split of Surgery-SFT has no test set."
    )
    batch_size: int = Field(16, ge=1, description="Questions answered at once.")
    num_chunks: int = Field(
        1, ge=1, le=1000, description="Jobs that the questions are divided among; answers do not depend on it."
    )
    history: Literal["none", "own"] = Field(
        "own",
        description="`none`: each question on its own. `own`: after the model's own earlier answers. Gold answers are "
        "never shown.",
    )
    choices: str | None = Field(
        None,
        description="A file of answers, a JSON list or one a line: each question is answered with the likeliest of "
        "them, and predictions hold the scores of all. Without it answers are written freely.",
    )
    normalisation: Literal["sum", "mean"] = Field(
        "sum", description="Score of a choice: the sum of its tokens' log-probabilities, or their mean."
    )
    score_end: bool = Field(
        True, description="Count the token that ends an answer too; no for models that never learnt to end."
    )

    @model_validator(mode="after")
    def _written_or_chosen(self) -> Predict:
        fields = type(self).model_fields
        # A published way to answer first: it is what set the others.
        names = sorted(self.without_effect, key=lambda name: (name != "settings", name))
        idle = [name for name in names if getattr(self, name) != fields[name].default]
        if self.choices and idle:
            raise ValueError(f"with `choices`, `{idle[0]}` would do nothing: no answer is written")
        if idle:
            raise ValueError(f"`{idle[0]}` would do nothing without `choices`")
        return self

    @property
    def without_effect(self) -> frozenset[str]:
        """Names of the options that this way to answer does not read."""
        written = frozenset({"settings", *Generation.model_fields})
        return written if self.choices else frozenset({"normalisation", "score_end"})
