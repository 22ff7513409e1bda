"""One experiment: model, training, prediction, and what its numbers stand beside."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from suture import registry
from suture.config import training
from suture.config.features import refusal
from suture.config.frames import Frames
from suture.config.generation import Generation
from suture.config.prediction import Predict
from suture.config.publishing import PushToHub
from suture.config.schedule import Schedule
from suture.config.scoring import Baseline
from suture.config.section import Name, Section, one_of
from suture.config.training import with_family_defaults

CHECKPOINT_FILES = (".pth", ".pth.tar", ".pt")
"""How the names of checkpoint files end: such a name is no hub id, also where the file is yet to come."""


def _published_generation(family: str, known: dict[str, Any]) -> dict[str, Any]:
    found = known.get("PUBLISHED", {}).get("generation")
    if not found:
        raise ValueError(f"predict.settings: {family} has no published way to answer: leave it out")
    return dict(found)


def _default(name: str) -> Any:
    return Generation.model_fields[name].default


class Experiment(Section):
    """One trained and scored model."""

    family: Name = Field(description="Model family: a module in `workflow/scripts/suture/models/`.")
    model: str = Field(
        "small",
        description="Base model: `small` (built locally, random weights), a folder, or a hub id with `revision`; for a "
        "family that is put together of several, these, joined by `+`.",
    )
    revision: str | None = Field(None, description="Pinned commit of a hub model; required for a hub id.")
    num_frames: int | None = Field(
        None,
        ge=1,
        description="Frames that the video encoder takes, where its positions are computed (surgvivqa: published 16); "
        "a still is repeated so often. Default: the base model's.",
    )
    init_from: Name | None = Field(
        None,
        description="Start from the finished model of this other experiment, not from `model`; it is trained first.",
    )
    cases: list[str] | None = Field(
        None,
        min_length=1,
        description="Cases of this experiment, by name or pattern, in training and in testing; default: all. A case "
        "stays on its side of the split.",
        examples=[["bagls_*"]],
    )
    task: Name = Field(
        "open_vqa", description="What an answer is and how it is scored: a module in `workflow/scripts/suture/tasks/`."
    )
    labels: list[str] | None = Field(
        None,
        min_length=2,
        description="Classifiers: the classes in their official order; of two the second is the one looked for. "
        "Default: the answers in training, sorted.",
    )
    prompt_mode: Literal["simple", "choices"] | None = Field(
        None,
        description="surgvivqa: put the question alone (`simple`), or with the candidates of `predict.choices`. It is "
        "stored with the model, which is asked as it was trained.",
    )
    frames: Frames = Field(description="Frames the model sees.")
    cache_features: bool = Field(
        False,
        description="Run the frozen vision tower once for all epochs, not at each step. Only where nothing before the "
        "language model is trained and frames are not varied.",
    )
    train: Schedule = Field(
        description="Training options; a default is the family's published one where it has its own."
    )
    predict: Predict = Field(default_factory=Predict, description="Prediction options.")
    baselines: list[Baseline] = Field(
        ["shuffled", "zero_shot", "metadata"],
        description="What its numbers stand beside, with the majority answer and the gold answers' own score. `blind`: "
        "the family trained as long on the questions without videos. `shuffled`: the model shown other clips. `still`: "
        "shown one frame of each clip, repeated. Classifiers have still in place of zero_shot by default. "
        "`zero_shot`: its base model. `metadata`: what case, clip length, file size and question tell.",
    )
    seeds: list[int] | None = Field(
        None, min_length=1, description="Train and score it once with each of these seeds, in place of `train.seed`."
    )
    folds: list[int] | None = Field(
        None, min_length=1, description="Train and score it once on each of these folds of `split.folds`."
    )
    merge: bool = Field(
        True,
        description="Adapters: merge them into a model of their own. `false`: they are kept alone, a few MB, and are "
        "used beside their base.",
    )
    summary: bool = Field(
        False,
        description="Also write `outputs/<name>/` as FADA's notebooks do: final_model/ (adapter and processor) and "
        "training_summary.json.",
    )
    push_to_hub: PushToHub | None = Field(
        None, description="Push the scored model to the hub (published: --push_to_hub); the token comes from HF_TOKEN."
    )

    @model_validator(mode="before")
    @classmethod
    def _family_defaults(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("train"), dict):
            return raw  # refused later, with its reason
        if raw.get("family") not in registry.names("model family"):
            return raw
        known = registry.literals("model family", raw["family"])
        if known.get("ANSWERS", "texts") == "classes":
            raw = {"baselines": ["shuffled", "still", "metadata"], **raw}
        made = {**raw, "train": with_family_defaults(raw["train"], known.get("TRAIN_DEFAULTS", {}))}
        asked = raw.get("predict")
        if isinstance(asked, dict) and asked.get("settings") == "published":
            made["predict"] = {**_published_generation(raw["family"], known), **asked}
        return made

    @field_validator("family")
    @classmethod
    def _known_family(cls, name: str) -> str:
        return one_of("model family", name)

    @field_validator("task")
    @classmethod
    def _known_task(cls, name: str) -> str:
        return one_of("task", name)

    @model_validator(mode="after")
    def _pinned(self) -> Experiment:
        if self.init_from is not None:
            if self.model != "small" or self.revision or self.num_frames:
                raise ValueError(f"`init_from` names the base model: leave out model: {self.model}")
            return self
        built = registry.literals("model family", self.family).get("BUILT", ())
        parts = self.model.split("+")
        local = (
            self.model in ("small", *built)
            # A path that begins so is no hub id, also where the folder is yet to be made.
            or all(Path(part).exists() or part.startswith(("./", "/")) for part in parts)
            or self.model.endswith(CHECKPOINT_FILES)
        )
        if local and self.revision:
            raise ValueError("`revision` is of a hub model; leave it out for what is built, a file and a folder")
        if not local and not self.revision:
            raise ValueError(
                f"model {self.model!r} is neither `small` nor a folder; a hub model needs its commit:  revision: ..."
            )
        return self

    @model_validator(mode="after")
    def _what_selects_is_not_scored(self) -> Experiment:
        selecting = [name for name in ("keep_best", "early_stopping_patience") if getattr(self.train, name)]
        if selecting and self.predict.split == "val":
            raise ValueError(
                f"`{selecting[0]}` chooses weights by the validation data, and `predict.split: val` would score them "
                "there: leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _family_can_be_trained_so(self) -> Experiment:
        family = registry.literals("model family", self.family)
        if reason := training.refusal(self.train, family):
            raise ValueError(f"train of {self.family}: {reason}")
        if family.get("ANSWERS", "texts") == "texts" and self.labels is not None:
            raise ValueError("`labels` are of classifiers, and this family answers in words")
        idle = [name for name in Generation.model_fields if getattr(self.predict, name) != _default(name)]
        if family.get("ANSWERS", "texts") == "classes" and idle:
            raise ValueError(f"`predict.{idle[0]}` would do nothing: {self.family} says one of its classes")
        if family.get("ANSWERS", "texts") == "classes":
            if self.predict.choices:
                raise ValueError(f"`predict.choices` would do nothing: {self.family} says one of its classes")
            if "blind" in self.baselines:
                raise ValueError("baselines: blind: without a video a classifier can say the commonest class alone")
            if "zero_shot" in self.baselines and self.init_from is None:
                raise ValueError("baselines: zero_shot: the base model does not know the classes; leave it out")
        if self.train.aug_step_size is not None and self.frames.train_sampling == "middle":
            raise ValueError("`aug_step_size` needs frames.train_sampling uniform, random or random_window")
        if self.train.aug_step_size is not None and self.train.epochs is not None:
            raise ValueError(
                "with `aug_step_size` an epoch is as long as the clips are: count its clips with "
                "sample_frames.py --root ... --aug-step-size ..., and give train.max_steps in place of train.epochs"
            )
        if self.cache_features and self.frames.drawn:
            raise ValueError("`cache_features` needs the same frames each time: leave out frames.*_sampling")
        return self

    @model_validator(mode="after")
    def _prompt_can_be_put_so(self) -> Experiment:
        if self.prompt_mode is None:
            return self
        if self.prompt_mode not in registry.literals("model family", self.family).get("PROMPT_MODES", ()):
            raise ValueError(f"`prompt_mode` is none of {self.family}: leave it out")
        if self.prompt_mode == "choices" and not self.predict.choices:
            raise ValueError("`prompt_mode: choices` shows the candidates of `predict.choices`: name their file")
        return self

    @property
    def prompt_flags(self) -> str:
        """How questions are put, as flags of train.py."""
        if self.prompt_mode is None:
            return ""
        shown = f" --choices {shlex.quote(str(self.predict.choices))}" if self.prompt_mode == "choices" else ""
        return f"--prompt-mode {self.prompt_mode}{shown}"

    @model_validator(mode="after")
    def _has_adapters_to_push(self) -> Experiment:
        if self.push_to_hub and self.push_to_hub.adapter_only and not self.train.adapter:
            raise ValueError("push_to_hub.adapter_only: no adapters are trained; add use_lora or use_qlora to train")
        return self

    @field_validator("seeds", "folds", "baselines")
    @classmethod
    def _once_each(cls, these: list[Any] | None) -> list[Any] | None:
        twice = [one for position, one in enumerate(these or []) if one in (these or [])[:position]]
        if twice:
            raise ValueError(f"{twice[0]} is named twice")
        return these

    @model_validator(mode="after")
    def _is_compared_with_another(self) -> Experiment:
        if self.train.blind and (useless := {"blind", "shuffled", "still"} & set(self.baselines)):
            raise ValueError(f"baselines: {', '.join(sorted(useless))} of a blind model is itself; leave it out")
        return self

    @model_validator(mode="after")
    def _one_model_is_pushed(self) -> Experiment:
        if self.push_to_hub and max(len(self.seeds or [0]), len(self.folds or [0])) > 1:
            raise ValueError("push_to_hub pushes one model, and `seeds` and `folds` train several; leave one out")
        return self

    @model_validator(mode="after")
    def _can_stay_apart(self) -> Experiment:
        if not self.merge and not self.train.adapter:
            raise ValueError("`merge: false` is about adapters, and all weights are trained: leave it out")
        if not self.merge and self.push_to_hub:
            raise ValueError("`push_to_hub` needs the merged model: leave out merge: false")
        return self

    @model_validator(mode="after")
    def _features_can_be_cached(self) -> Experiment:
        if self.cache_features and (reason := refusal(self.train, self._encoders)):
            raise ValueError(f"`cache_features` cannot be used here: {reason}")
        return self

    @property
    def _encoders(self) -> tuple[str, ...]:
        return tuple(registry.literals("model family", self.family).get("ENCODERS", ("vision", "projector")))

    @property
    def base_key(self) -> str:
        """Name of the base model's folder: experiments with an equal base share it."""
        if self.init_from is not None:
            return f"from.{self.init_from}"
        name = self.model.rstrip("/").replace("/", "--").replace("+", "-and-")
        pinned = "".join(f".{one[:12]}" for one in (self.revision or "").split("+") if one)
        shown = f".n{self.num_frames}" if self.num_frames else ""
        return f"{self.family}.{name}{pinned}{shown}"
