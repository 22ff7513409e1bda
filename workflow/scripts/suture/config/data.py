"""How data are drawn, cut, split, watched for leaks and kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from suture.config.section import Section, Share


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
