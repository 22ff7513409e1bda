"""The configuration of a run. Each field's description becomes its line in config/README.md.

Only keys that the pipeline reads are here: an unknown key is refused (see
:mod:`suture.config.load`), so a mistyped setting is never ignored in silence.
"""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from suture import registry
from suture.config import training, variants
from suture.config.features import refusal
from suture.config.generation import Generation
from suture.config.publishing import PushToHub
from suture.config.qa import QA
from suture.config.schedule import Schedule
from suture.config.scoring import Baseline, Score
from suture.config.training import with_family_defaults
from suture.drawing import chests
from suture.errors import ConfigError
from suture.frame_draws import Method

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
CHECKPOINT_FILES = (".pth", ".pth.tar", ".pt")
"""How the names of checkpoint files end: such a name is no hub id, also where the file is yet to come."""
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, and a text is not taken for a number."""

    model_config = ConfigDict(extra="forbid", validate_default=True, strict=True)


def _named(kind: str, name: str) -> str:
    """Checks a name against the modules there are, without importing one."""
    known = registry.names(kind)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {kind} {name!r}{hint} There are: {', '.join(known)}")
    return name


class Draw(Section):
    """Videos drawn here instead of real ones: demo data without a download."""

    kind: Literal["surgery", "annotations", "ultrasound", "endoscopy", "cholecystectomy", "chest"] = Field(
        "surgery",
        description="`surgery`: invented cases in Cataract-1K's file formats. `annotations`: the polygons of the real "
        "annotation files under `annotations`, at their times. `ultrasound`: invented images in FADA's file formats, "
        "of each of `categories`. `endoscopy`: invented clips in video_folder's layout, whose class is in the motion; "
        "their cases are named DATASET.PATIENT. `cholecystectomy`: invented frames with questions about them in "
        "SSG-VQA's file formats; cases are some of its videos. `chest`: invented radiographs and reports in "
        "MIMIC-CXR's formats.",
    )
    seed: int = Field(7, description="Seed of the drawings; a case is a function of its id, this seed, size and fps.")
    size: int = Field(
        112, ge=32, le=1024, multiple_of=2, description="Width and height of the drawn videos, in pixels."
    )
    fps: int = Field(10, ge=1, le=60, description="Frames a second of the drawn videos.")
    images: int = Field(
        40,
        ge=1,
        le=999,
        description="With `ultrasound`: images of each category; with `cholecystectomy`: of each case; with `chest`: "
        "patients.",
    )
    clips: int = Field(8, ge=1, description="With `endoscopy`: clips of each case.")

    @property
    def dataset(self) -> str:
        """The adapter that reads what is drawn."""
        others = {
            "ultrasound": "fetal_ultrasound",
            "endoscopy": "video_folder",
            "cholecystectomy": "ssgvqa",
            "chest": "mimic_cxr",
        }
        return others.get(self.kind, "cataract1k")


class Cut(Section):
    """Cutting videos into clips (`cut_videos`)."""

    mode: Literal["exact", "published"] = Field(
        "exact",
        description="`exact`: clips of 2.5 to 7.5 s that together cover each phase. `published`: the boundaries and "
        "names of the published script, clips of 0 to 9.65 s included.",
    )
    idle: bool = Field(False, description="Also cut the time between phases, labelled idle.")
    check: Literal["auto", "full", "none"] = Field(
        "auto",
        description="Comparing a clip's decoded frames with the source's: `auto` where the container does not prove "
        "the copy exact, and the first clip of each case; `full` every clip; `none` no clip.",
    )


class Split(Section):
    """Train, validation and test (`split_dataset`)."""

    unit: Literal["case", "clip"] = Field(
        "case", description="What is never divided. `clip` reproduces the published split and is marked leaky."
    )
    fractions: tuple[Share, Share, Share] = Field(
        (0.8, 0.1, 0.1), strict=False, description="Shares of train, val and test; they sum to 1."
    )
    folds: int | None = Field(None, ge=2, description="Number of folds by case, in place of `fractions`.")
    official_folds: str | None = Field(
        None, description="Folder of the publisher's own fold files (Cataract-1K), in place of `fractions`."
    )
    official: bool = Field(
        False,
        description="The publisher's own train, val and test lists, where it has some, in place of `fractions`.",
    )
    fold: int | None = Field(None, ge=0, description="The fold that is the test set, from 0.")
    assign: str | None = Field(
        None, description="A CSV with the columns case and split: a split that must be kept. Other cases are dealt."
    )
    seed: int = Field(42, description="Seed of the split.")
    balance: bool = Field(False, description="Repeat samples of rare phases, in the training set only.")

    @model_validator(mode="after")
    def _consistent(self) -> Split:
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"fractions sum to {sum(self.fractions):g}, not to 1: for example [0.8, 0.1, 0.1]")
        lists = [name for name in ("folds", "official_folds", "assign") if getattr(self, name) is not None]
        lists += ["official"] if self.official else []
        if len(lists) > 1:
            raise ValueError(f"give one of {' and '.join(lists)}: each says which cases are tested")
        if ((self.folds or self.official_folds) is None) != (self.fold is None):
            raise ValueError("`folds` (or `official_folds`) and `fold` go together: for example folds: 5, fold: 0")
        if self.unit == "clip" and lists:
            raise ValueError(f"`{lists[0]}` divides cases; with unit: clip leave it out")
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist: with folds: {self.folds} it is 0 to {self.folds - 1}")
        return self


class Storage(Section):
    """Disks of their own for what can be made again."""

    cache: str | None = Field(
        None,
        description="Folder for the caches of frames and features, on a disk that all nodes see: `$SCRATCH/suture`. "
        "Variables are those of the shell that starts Snakemake. Default: the run's own folder.",
    )
    node_local: str | None = Field(
        None,
        description="Folder on a node's own disk, as `$TMPDIR`: jobs that read a cache many times copy it there first, "
        "where it fits. Variables are those of the job.",
    )


class Leaks(Section):
    """The gate between splitting and training (`check_leaks`)."""

    on_leak: Literal["stop", "report"] | None = Field(
        None,
        description="A case, clip, media file or scene in two splits: `stop` the run, or `report` it and mark every "
        "score leaky. Default: `stop`; with `split.unit: clip`, which is leaky by design, `report`.",
    )
    distance: int = Field(
        4,
        ge=0,
        le=16,
        description="Bits of 64 in which perceptual hashes of the same frame may differ; unrelated frames differ in "
        "about 32.",
    )
    share: float = Field(
        0.5, gt=0, le=1, description="Share of a clip's frames that must be found in another clip to make it a leak."
    )
    datasets: list[str] = Field(
        default_factory=list,
        description="Published datasets that the clips are of, for the list of known overlaps with pretrained "
        "weights; default: `dataset`.",
    )


class Frames(Section):
    """Which frames of a clip a model sees, and their size (`cache_frames`)."""

    count: int | None = Field(None, ge=1, description="Frames a clip. Give this or `fps`.")
    fps: float | None = Field(None, gt=0, description="Frames a second of clip, as the published script samples.")
    train_sampling: Method = Field(
        "middle",
        description="With `count`, which frames training sees. `middle`: the middle of each of `count` equal parts. "
        "`uniform`: from the first frame to the last. Drawn anew each epoch: `random` frames, or in `random_window` "
        "one of each equal part. With any but `middle` for all three, all frames of a clip are cached.",
    )
    val_sampling: Method = Field("middle", description="Which frames validation sees; draws are the same each time.")
    test_sampling: Method = Field("middle", description="Which frames are seen when the model is scored, and after.")
    height: int = Field(224, ge=28, description="Height of the cached frames, in pixels.")
    width: int = Field(224, ge=28, description="Width of the cached frames, in pixels.")
    decoder: Literal["auto", "decord", "pyav"] = Field(
        "auto",
        description="`auto`: decord, and PyAV where decord fails. Which of them it was is recorded for each clip.",
    )
    seconds_per_clip: float = Field(
        120,
        ge=1,
        le=86400,
        description="Time limit of one decoder on one clip; a clip that takes longer is left out, counted.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Frames:
        if (self.count is None) == (self.fps is None):
            raise ValueError("give exactly one of `count` (frames a clip) and `fps` (frames a second)")
        if self.fps is not None and self.drawn:
            raise ValueError("`train_sampling`, `val_sampling` and `test_sampling` need `count`, not `fps`")
        return self

    @property
    def drawn(self) -> bool:
        """Whether frames are picked when they are used: the cache then holds all of a clip."""
        return {self.train_sampling, self.val_sampling, self.test_sampling} != {"middle"}

    @property
    def key(self) -> str:
        """Name of the cache folder: experiments with equal settings share one cache."""
        parts = ["all" if self.drawn else f"n{self.count}" if self.count is not None else f"fps{self.fps}"]
        parts += [self.decoder] if self.decoder != "auto" else []
        parts += [f"{self.seconds_per_clip:g}s"] if self.seconds_per_clip != 120 else []
        return f"{'.'.join(parts)}-{self.width}x{self.height}"

    @property
    def cached(self) -> str:
        """The frames that are decoded, as flags of cache_frames.py."""
        if self.drawn:
            return "--all"
        return f"--frames {self.count}" if self.count is not None else f"--fps {self.fps}"

    @property
    def sampling(self) -> str:
        """The frames that are seen, as flags of train.py."""
        if not self.drawn:
            return self.cached
        splits = ("train", "val", "test")
        return " ".join(
            [f"--frames {self.count}", *(f"--{s}-sampling {getattr(self, f'{s}_sampling')}" for s in splits)]
        )

    @property
    def decoding(self) -> str:
        """How they are decoded, as flags of cache_frames.py."""
        return f"--decoder {self.decoder} --seconds-per-clip {self.seconds_per_clip:g}"

    @property
    def size(self) -> list[int]:
        """Height and width, in pixels."""
        return [self.height, self.width]


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
        return _named("model family", name)

    @field_validator("task")
    @classmethod
    def _known_task(cls, name: str) -> str:
        return _named("task", name)

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
        return _named("dataset adapter", name)

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
