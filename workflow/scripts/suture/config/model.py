"""The configuration of a run. Each field's description becomes its line in config/README.md.

Only keys that the pipeline reads are here: an unknown key is refused (see
:mod:`suture.config.load`), so a mistyped setting is never ignored in silence.
"""

from __future__ import annotations

import difflib
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from suture import registry
from suture.config import variants
from suture.config.data import Cut, Draw, Leaks, Split, Storage
from suture.config.experiment import Experiment
from suture.config.qa import QA
from suture.config.scoring import Score
from suture.config.section import Name, Section, Share, one_of
from suture.drawing import chests
from suture.errors import ConfigError


class ReportModels(Section):
    """Models that measure reports (`measure_reports`): by path, Suture brings none of them."""

    bertscore: str | None = Field(None, description="Folder of an encoder, for BERTScore.")
    bertscore_baseline: str | None = Field(
        None, description="bert-score's file of this encoder's baseline, by which published figures are rescaled."
    )
    chexbert: str | None = Field(
        None, description="Folder with bert-base-uncased's configuration and tokenizer, and chexbert.pth."
    )

    @model_validator(mode="after")
    def _is_of_use(self) -> ReportModels:
        if self.bertscore_baseline and not self.bertscore:
            raise ValueError("`bertscore_baseline` would do nothing: add bertscore, or leave it out")
        return self

    @property
    def paths(self) -> list[str]:
        """What is read, as far as it is given."""
        return [path for path in (self.bertscore, self.bertscore_baseline, self.chexbert) if path]


class Config(Section):
    """A run: one dataset, its clips, questions and split, and the experiments on it."""

    run: Name = Field("demo", description="Name of the run; everything it makes lies under `results/<run>/`.")
    dataset: Name = Field("cataract1k", description="Dataset adapter: a module in `workflow/scripts/suture/datasets/`.")
    dataset_options: dict[str, str] = Field(
        default_factory=dict,
        description="How the dataset is read, where its adapter knows several ways. mimic_cxr: `views`: frontal, all; "
        "`images`: one, study; `cleaning`: mgca, gentle; `sections`: impression_findings, findings, impression. "
        "conversations: `group`: image, prefix; `names`: plain, file; `kinds`: one, fada.",
        examples=[{"views": "all", "cleaning": "gentle"}],
    )
    sharing: Literal["open", "internal", "credentialed"] | None = Field(
        None,
        description="Who may see the data; default: what the adapter declares. `credentialed` keeps media and "
        "text out of report.html.",
    )
    annotations: str | None = Field(None, description="Root of the dataset's annotation files.")
    videos: str | None = Field(None, description="Root of the dataset's media files.")
    cases: list[Name] | None = Field(
        None, min_length=1, max_length=50_000, description="Cases to use; default: what lies under `annotations`."
    )
    draw: Draw | None = Field(None, description="Draw the videos instead of reading them; see `draw.*`.")
    shards: int = Field(
        64, ge=1, le=4096, description="Jobs into which the cases are grouped after cutting, by a stable hash."
    )
    max_rejected: Share = Field(
        0.1, description="Largest share of unusable media files or samples before the run stops."
    )
    cut: Cut = Field(default_factory=Cut, description="Cutting.")
    qa: QA = Field(default_factory=QA, description="Questions and answers.")
    split: Split = Field(default_factory=Split, description="Train, validation and test.")
    leaks: Leaks = Field(default_factory=Leaks, description="What two splits must not share.")
    export: Literal["exact", "copy", "link"] = Field(
        "exact",
        description="Clips in `dataset/videos`: `exact` re-encodes those that start before their first wanted frame, "
        "so that any reader sees the right frames; `copy` stream copies; `link` links to the run's clips.",
    )
    score: Score = Field(default_factory=Score, description="Intervals.")
    report_models: ReportModels = Field(
        default_factory=ReportModels, description="Models that measure reports, where the task is `report`."
    )
    storage: Storage = Field(default_factory=Storage, description="Where what can be made again lies.")
    confirm_gpu_hours: float = Field(
        8,
        ge=0,
        description="A run that would make results anew that took more GPU-hours than this stops, and asks for "
        "`--config confirm=yes`. What it would do, and why: `make why`.",
    )
    categories: list[str] | None = Field(
        None,
        min_length=1,
        description="Categories of images to use, where the dataset has some; default: all that are labelled.",
    )
    each_category: dict[str, Any] | None = Field(
        None,
        description="An experiment for each category, named after it, on its images alone, smallest category first. "
        "Keys as of `experiments.<name>.*`.",
    )
    num_images: int | None = Field(
        None, ge=1, description="Use so many images of each category, chosen by a stable hash; default: all."
    )
    num_epochs: float | None = Field(
        None,
        gt=0,
        description="For all experiments, in place of `train.max_steps`: epochs of the training share of the dataset's "
        "questions.",
    )
    batch_size: int | None = Field(None, ge=1, description="For all experiments, in place of `train.batch_size`.")
    learning_rate: float | None = Field(
        None, gt=0, description="For all experiments, in place of `train.learning_rate`."
    )
    experiments: dict[Name, Experiment] = Field(
        default_factory=dict, description="Experiments by name; see `experiments.<name>.*`."
    )

    @property
    def adapter(self) -> str:
        """The adapter with its options, as commands take it."""
        options = ",".join(f"{name}={value}" for name, value in sorted(self.dataset_options.items()))
        return f"{self.dataset}:{options}" if options else self.dataset

    @model_validator(mode="after")
    def _can_be_read_so(self) -> Config:
        if self.dataset_options:
            try:
                registry.dataset(self.adapter)
            except ConfigError as error:
                raise ValueError(f"{error.problem}; {error.fix}") from error
        return self

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, name: str) -> str:
        return one_of("dataset adapter", name)

    @field_validator("cases")
    @classmethod
    def _each_once(cls, cases: list[str] | None) -> list[str] | None:
        twice = [case for position, case in enumerate(cases or []) if case in (cases or [])[:position]]
        if twice:
            raise ValueError(f"{twice[0]} is named twice")
        return cases

    @model_validator(mode="after")
    def _has_data(self) -> Config:
        if self.draw is not None and self.dataset != self.draw.dataset:
            raise ValueError(f"draw.kind {self.draw.kind} makes files of {self.draw.dataset}: set it as `dataset`")
        if self.draw is not None and self.videos is not None:
            raise ValueError("`draw` makes its own videos: leave out `videos`, or leave out `draw`")
        if self.draw is not None and self.draw.kind == "ultrasound":
            if not self.categories or self.annotations is not None:
                raise ValueError(
                    "`draw` makes images of `categories` and their annotations: name the first, leave out the second"
                )
        elif self.draw is not None and self.draw.kind == "chest":
            if self.annotations is not None:
                raise ValueError("`draw` makes its own annotations: leave out `annotations`")
            self.cases = self.cases or chests.case_ids(self.draw.images)
        elif self.draw is not None and self.draw.kind != "annotations":
            if not self.cases:
                raise ValueError("`draw` needs the names of its cases: for example cases: [case_9001, case_9002]")
            if self.annotations is not None:
                raise ValueError(
                    "`draw` makes its own annotations: leave out `annotations`, or set draw.kind: annotations"
                )
        elif self.annotations is None:
            raise ValueError("give the folder of the annotation files: for example annotations: data/cataract1k")
        elif self.draw is None and self.videos is None:
            raise ValueError("give the folder of the videos: for example videos: data/cataract1k/videos")
        return self

    @model_validator(mode="after")
    def _starts_from_what_there_is(self) -> Config:
        for name, one in self.experiments.items():
            chain = [name]
            while (before := self.experiments[chain[-1]].init_from) is not None:
                if before not in self.experiments:
                    near = difflib.get_close_matches(before, self.experiments, n=1, cutoff=0)
                    raise ValueError(
                        f"experiments.{chain[-1]}.init_from: there is no {before!r}; did you mean {near[0]!r}?"
                    )
                if before in chain:
                    raise ValueError(f"experiments.{name}.init_from goes round: {' from '.join([*chain, before])}")
                chain.append(before)
            if one.init_from and not self.experiments[one.init_from].merge:
                raise ValueError(
                    f"experiments.{name}.init_from: {one.init_from!r} has merge: false, and so no weights to start from"
                )
            if one.init_from and (other := self.experiments[one.init_from].family) != one.family:
                raise ValueError(
                    f"experiments.{name}.init_from: {one.init_from!r} is of family {other}, not {one.family}"
                )
        return self

    @model_validator(mode="after")
    def _has_folds(self) -> Config:
        for name, one in self.experiments.items():
            if one.folds and not (self.split.folds or self.split.official_folds):
                raise ValueError(
                    f"experiments.{name}.folds: the split has none; for example  split: {{folds: 5, fold: 0}}"
                )
            beyond = [fold for fold in one.folds or [] if fold < 0 or fold >= (self.split.folds or fold + 1)]
            if beyond:
                raise ValueError(f"experiments.{name}.folds: {beyond[0]} does not exist; the first is 0")
        return self

    @model_validator(mode="after")
    def _variants_can_be_made(self) -> Config:
        variants.check(self)
        return self

    @model_validator(mode="after")
    def _has_questions(self) -> Config:
        shares = dict(zip(("train", "val", "test"), self.split.fractions, strict=True))
        listed = self.split.folds or self.split.official_folds or self.split.assign or self.split.official
        for name, one in self.experiments.items():
            if not listed and shares[one.predict.split] == 0:
                raise ValueError(
                    f"experiments.{name} is asked the {one.predict.split} questions, of which "
                    f"split.fractions leave none; set its predict.split, or give that split a share"
                )
        return self
