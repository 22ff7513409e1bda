# What all rules share: the checked configuration, names of files, cases and shards.
# No pandas, no torch, no look at media content: this runs at the start of every job.
import atexit
import json
import math
import shlex
from functools import cache

from snakemake.exceptions import WorkflowError

from suture import digest, registry
from suture.datasets.base import annotation_digest
from suture.config import publishing, variants
from suture.config.features import arithmetic
from suture.config.flags import to_flags
from suture.config.model import CHECKPOINT_FILES
from suture.config.load import resolve
from suture.environment import put_python_first
from suture.errors import SutureError
from suture.media import MediaIndex
from suture.records import shard_of

put_python_first()
digest.remember(Path(".snakemake/suture/code.json"))

try:
    REPEATS = variants.repeats(resolve(config))
    CONFIG = resolve(variants.multiplied(config))
    # The experiments, and under names of their own what they are compared with.
    ASKED = variants.asked(CONFIG.experiments)
    ADAPTER = registry.dataset(CONFIG.dataset)
    DRAWN = CONFIG.draw is not None and CONFIG.draw.kind != "annotations"
    RUN = f"results/{CONFIG.run}"
    SOURCE = f"{RUN}/source"
    ANNOTATIONS = f"{SOURCE}/annotations" if DRAWN else CONFIG.annotations
    VIDEOS = f"{SOURCE}/videos" if CONFIG.draw else CONFIG.videos
    if DRAWN and CONFIG.draw.kind == "endoscopy":  # lists and videos of a dataset lie in one folder
        ANNOTATIONS = VIDEOS = f"{SOURCE}/datasets"
    CASES = CONFIG.cases or ADAPTER.case_ids(Path(ANNOTATIONS))
except SutureError as error:
    raise WorkflowError(str(error)) from None
if not (CONFIG.draw or Path(VIDEOS).is_dir()):
    raise WorkflowError(f"videos: there is no folder {VIDEOS}; give the root of the dataset's media files")
if not CASES:
    raise WorkflowError(f"no case found under {ANNOTATIONS}: is it the folder that dataset '{CONFIG.dataset}' expects?")

SHARING = CONFIG.sharing or ADAPTER.SHARING
PUSHED = {name: one.push_to_hub for name, one in CONFIG.experiments.items() if one.push_to_hub}
for name, wanted in PUSHED.items():
    if reason := publishing.refusal(SHARING, wanted):
        raise WorkflowError(f"experiments.{name}.push_to_hub: {reason}")
CASES_OF = {}
for case in CASES:
    CASES_OF.setdefault(shard_of(case, CONFIG.shards), []).append(case)
SHARDS = sorted(CASES_OF)
# A job names its cases' files on its command line, which has room for about this many.
if max(map(len, CASES_OF.values())) > 500:
    raise WorkflowError(
        f"{len(CASES)} cases in {len(SHARDS)} shards are too many for one job; set  shards: {math.ceil(len(CASES) / 250)}"
    )
MEDIA = MediaIndex(Path(".snakemake/suture/media.json"), update=workflow.is_main_process)
atexit.register(MEDIA.save)


onstart:
    MEDIA.save()


wildcard_constraints:
    case=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    experiment=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    base=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    arithmetic=r"[a-z0-9]+(-[a-z0-9]+)*",
    frames=r"[a-z0-9.]+-\d+x\d+",
    shard=r"\d+",
    segment=r"\d+",
    fold=r"\d+",


def cases_of(shard):
    """The cases of a shard."""
    return CASES_OF[int(shard)]


def shards(pattern):
    """The files of all shards."""
    return expand(pattern, shard=SHARDS)


@cache
def annotation_files(case):
    """The annotation files of a case, which stand for its content in every rule that reads it."""
    if CONFIG.draw and CONFIG.draw.kind == "endoscopy":
        return [ANNOTATIONS]
    if DRAWN:
        return [path for name, path in drawn_files(case).items() if name != "video"]
    shared = annotation_digest(ADAPTER, Path(ANNOTATIONS), case) is not None
    files = [str(path) for path in ADAPTER.case_files(Path(ANNOTATIONS), case)]
    return [ancient(path) for path in files] if shared else files


@cache
def annotation_rows(*cases):
    """What an edit of a file that all cases share means for these: an edit of another case's rows, nothing."""
    if DRAWN:
        return None
    digests = [annotation_digest(ADAPTER, Path(ANNOTATIONS), case) for case in cases]
    return digest.join(*digests) if all(digests) else None


def drawn_files(case):
    phases = f"{SOURCE}/annotations/phase_annotations/{case}/{case}"
    return {
        "phases": f"{phases}_annotations_phases.csv",
        "info": f"{phases}_video.csv",
        "objects": f"{SOURCE}/annotations/segment_annotations/cases/{case}/annotations/instances.json",
        "video": f"{SOURCE}/videos/{case}.mp4",
    }


def media_files(case):
    """The videos of a case. Real ones are `ancient`: media_revision says when their content changes."""
    if CONFIG.draw:
        return [ANNOTATIONS] if CONFIG.draw.kind == "endoscopy" else [f"{SOURCE}/videos/{case}.mp4"]
    return [ancient(str(path)) for path in ADAPTER.case_media(Path(ANNOTATIONS), Path(VIDEOS), case)]


def media_revision(case):
    """Changes when, and only when, the content of one of a case's videos does."""
    if CONFIG.draw:
        return 0

    def recorded(media):
        manifest = Path(f"{RUN}/manifests/clips/{case}.jsonl")
        clips = [json.loads(line) for line in manifest.read_text().splitlines()] if manifest.is_file() else []
        return next((c["source_sha256"] for c in clips if (Path(VIDEOS) / c["source"]) == media), None)

    media = ADAPTER.case_media(Path(ANNOTATIONS), Path(VIDEOS), case)
    return sum(MEDIA.revision(path, lambda path=path: recorded(path)) for path in media)


def code(command, *modules):
    """The digest of a command's code, as a parameter: an edit of the library reruns what it made."""
    return digest.code(command, *modules)


DATASET_MODULE = f"suture.datasets.{CONFIG.dataset}"


def experiment(wildcards):
    return ASKED[wildcards.experiment].experiment


def family_module(wildcards):
    return f"suture.models.{experiment(wildcards).family}"


def segments(name):
    """The number of jobs that an experiment's steps are divided into."""
    train = CONFIG.experiments[ASKED[name].of].train
    return math.ceil(train.max_steps / train.steps_per_job)


def base_of(base):
    """An experiment with this base model."""
    return next(one for one in CONFIG.experiments.values() if one.base_key == base)


def base_folder(base):
    """The folder of a base model by its key: fetched, or what another experiment made."""
    before = base_of(base).init_from
    return f"{RUN}/models/{before}" if before else f"{RUN}/models/base/{base}"


def split_folder(name):
    """Where the split of an experiment lies: the run's, or that of its fold."""
    folds = ASKED[name].experiment.folds
    return f"{RUN}/manifests/folds/{folds[0]}" if folds else f"{RUN}/manifests/split"


def samples_of(name, split):
    """The samples of a split that an experiment is about; what it is compared with is about the same."""
    if ASKED[name].experiment.cases is None:
        return f"{split_folder(name)}/{split}.jsonl"
    return f"{RUN}/manifests/experiments/{ASKED[name].of}/{split}.jsonl"


def baseline_answers(name):
    """The predictions that an experiment's numbers stand beside, by the name of the baseline."""
    found = {key.removeprefix(f"{name}."): key for key, one in ASKED.items() if one.of == name and key != name}
    return {baseline: f"{RUN}/predictions/{key}.jsonl" for baseline, key in found.items()}


def baseline_flags(name):
    """The same as flags of score.py."""
    answers = baseline_answers(name)
    return " ".join(["--baseline", *(f"{key}={path}" for key, path in answers.items())]) if answers else ""


def model_files(model):
    """The files of a model that lies here: a checkpoint, or a folder's own."""
    if "/" not in model:
        return []
    if model.endswith(CHECKPOINT_FILES):
        return [model]
    return sorted(map(str, Path(model).glob("*.*")))


def label_flags(wildcards):
    """The classes of an experiment in their order, as flags; nothing where they are those of training."""
    labels = experiment(wildcards).labels
    return f"--labels {shlex.join(labels)}" if labels else ""


def clip_folders(cases):
    """The clips themselves, of jobs that read them: deleted ones are cut again. Their content is in the manifests."""
    return [ancient(f"{RUN}/clips/{case}") for case in cases]


def frames_settings(wildcards):
    """The frame settings that a cache folder is named after."""
    return next(one.frames for one in CONFIG.experiments.values() if one.frames.key == wildcards.frames)


def frames_cache(name):
    """The manifests of an experiment's frame cache."""
    return shards(f"{RUN}/cache/frames/{ASKED[name].experiment.frames.key}/shard-{{shard}}.jsonl")


def frames_arrays(name):
    """The arrays beside those manifests: `make clean-cache` deletes them, a job that needs them brings them back."""
    return [ancient(path.replace(".jsonl", ".npy")) for path in frames_cache(name)]


def features_cache(name):
    """The manifests of an experiment's cached features: none where it runs its vision tower at each step."""
    one = ASKED[name].experiment
    folder = f"{RUN}/cache/features/{one.base_key}/{one.frames.key}/{arithmetic(one.train).key}"
    return shards(f"{folder}/shard-{{shard}}.jsonl") if one.cache_features else []


def features_arrays(name):
    """The arrays beside those manifests, as :func:`frames_arrays`."""
    return [ancient(path.replace(".jsonl", ".npy")) for path in features_cache(name)]


def arithmetic_settings(wildcards):
    """How the vision tower is computed for a cache folder of this name."""
    every = (arithmetic(one.train) for one in CONFIG.experiments.values())
    return next(one for one in every if one.key == wildcards.arithmetic)


TARGETS = {
    "data": [f"{RUN}/dataset"],
    "train": [f"{RUN}/models/{name}" for name in CONFIG.experiments],
    "evaluate": [f"{RUN}/metrics.json"] if CONFIG.experiments else [],
    "push": [f"{RUN}/pushed/{name}.json" for name in PUSHED],
}
if CONFIG.qa.backend != "annotation":
    TARGETS["data"].append(f"{RUN}/qa_quality.json")
if CONFIG.qa.backend not in ("annotation", "existing"):
    TARGETS["qa_preview"] = [f"{RUN}/qa_preview.txt"]
TARGETS["all"] = TARGETS["data"] + ([f"{RUN}/report.html"] if CONFIG.experiments else []) + TARGETS["push"]
