# What all rules share: the checked configuration, names of files, cases and shards.
# No pandas, no torch, no look at media content: this runs at the start of every job.
import atexit
import json
import math
import os
import re
import shlex
import time
from functools import cache

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from suture import caches, digest, failed, more_memory, profiles, purged, registry, stale, starting
from suture.datasets.base import annotation_digest
from suture.config import categories, publishing, schedule, variants
from suture.config.features import arithmetic
from suture.config.flags import to_flags
from suture.config.model import CHECKPOINT_FILES
from suture.config.load import resolve
from suture.environment import check_deployment, put_python_first
from suture.errors import SutureError
from suture.media import MediaIndex
from suture.records import shard_of
from suture.reviewing import corrections

put_python_first()
digest.remember(Path(".snakemake/suture/code.json"))

# Said for one run, no key of it.
CONFIRMED = stale.is_yes(config.pop("confirm", None)) or stale.is_yes(os.environ.get("SUTURE_CONFIRM"))
# What becomes of the jobs of a Snakemake that was killed: `cancel` or `wait`.
ORPHANS = config.pop("orphans", None) or os.environ.get("SUTURE_ORPHANS") or "cancel"

try:
    # In place: experiments that are made here are the run's as much as those that are written out.
    EXPANDED = categories.expand(dict(config))
    config.clear()
    config.update(EXPANDED)
    REPEATS = variants.repeats(resolve(config))
    # The configuration as written, each repeat an experiment of its own.
    WRITTEN = variants.multiplied(config)
    SETTLED = schedule.settle(WRITTEN, Path("results", str(config.get("run") or "demo")))
    CONFIG = resolve(SETTLED.raw)
    # The experiments, and under names of their own what they are compared with.
    ASKED = variants.asked(CONFIG.experiments)
    ADAPTER = registry.dataset(CONFIG.adapter)
    DRAWN = CONFIG.draw is not None and CONFIG.draw.kind != "annotations"
    # A whole dataset by one job: its lists name what lies beside them.
    ALL_AT_ONCE = DRAWN and CONFIG.draw.kind != "surgery"
    RUN = f"results/{CONFIG.run}"
    # Jobs follow the link that is there.
    CACHE = caches.place(Path(RUN), CONFIG.storage.cache) if workflow.is_main_process else None
    caches.check(Path(RUN), CACHE)
    SOURCE = f"{RUN}/source"
    ANNOTATIONS = f"{SOURCE}/annotations" if DRAWN else CONFIG.annotations
    VIDEOS = f"{SOURCE}/videos" if CONFIG.draw else CONFIG.videos
    if DRAWN and CONFIG.draw.kind == "endoscopy":  # lists and videos of a dataset lie in one folder
        ANNOTATIONS = VIDEOS = f"{SOURCE}/datasets"
    CASES = CONFIG.cases or ADAPTER.case_ids(Path(ANNOTATIONS))
    CORRECTIONS = CONFIG.qa.correction_files
    REVIEWED = corrections.read(map(Path, CORRECTIONS))
    corrections.check_cases(REVIEWED, CASES)
    CORRECTED = corrections.effective(REVIEWED)
except SutureError as error:
    raise WorkflowError(str(error)) from None
if not (CONFIG.draw or Path(VIDEOS).is_dir()):
    raise WorkflowError(f"videos: there is no folder {VIDEOS}; give the root of the dataset's media files")
if not CASES:
    raise WorkflowError(f"no case found under {ANNOTATIONS}: is it the folder that dataset '{CONFIG.dataset}' expects?")

# A dataset of single images, each a case: there are thousands, so jobs take shards of them from the first on.
STILLS = getattr(ADAPTER, "STILLS", False)
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
if workflow.is_main_process:
    starting.before_execution(workflow, CONFIG.run, way=ORPHANS, error=WorkflowError)
MEDIA = MediaIndex(Path(".snakemake/suture/media.json"), update=workflow.is_main_process)
atexit.register(MEDIA.save)


onstart:
    MEDIA.save()
    caches.link(Path(RUN), CACHE)
    found = stale.jobs(workflow, {name: borders(name) for name in ASKED})
    try:
        check_deployment(
            {Path(workflow.basedir, "envs", f"{job.rule.name}.yaml") for job in workflow.dag.needrun_jobs()},
            executor=workflow.executor_plugin.name,
            deployed=bool(workflow.deployment_settings.deployment_method),
        )
        if workflow.executor_plugin.name == "slurm":
            jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
            starting.check_limits((job.rule.name, job.resources) for job in jobs)
        if not workflow.touch:
            purged.look(workflow, confirmed=CONFIRMED)
        stale.guard(
            found, Path(RUN), allowed=CONFIG.confirm_gpu_hours, confirmed=CONFIRMED, accepting=workflow.touch
        )
    except SutureError as error:
        raise WorkflowError(str(error)) from None


onerror:
    if workflow.is_main_process:
        print(failed.tell(failed.of_run(workflow)), file=sys.stderr)


# A cluster's queue ends a job after its `runtime`, counted from a moment just before this one.
if not workflow.is_main_process:
    os.environ.setdefault("SUTURE_JOB_STARTED", str(int(time.time())))
# For commands that can stop and go on later: the seconds they have, which leave a quarter of the job, at most three
# minutes, for the save. Where no queue ends the job, nothing. It is no parameter: another limit makes no other model.
DEADLINE = (
    "${{SUTURE_JOB_STARTED:+--deadline-seconds $(({resources.runtime} * 60"
    " - ({resources.runtime} < 12 ? {resources.runtime} * 15 : 180) + SUTURE_JOB_STARTED - $(date +%s)))}}"
)
# What each command used stands at the end of its log.
os.environ.update(SUTURE_SAY_USED="yes")
# Filled in by the job: each node has its own. No parameter, as the deadline: from where it is read changes no model.
if CONFIG.storage.node_local:
    os.environ.update(SUTURE_NODE_LOCAL=CONFIG.storage.node_local)
# The Snakemake inside a job must not retry too: it would do so in what is left of the same job.
RETRIES = 5 if workflow.is_main_process else 0


wildcard_constraints:
    case=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    experiment=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    base=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    arithmetic=r"[a-z0-9]+(-[a-z0-9]+)*",
    frames=r"[a-z0-9.]+-\d+x\d+",
    shard=r"\d+",
    segment=r"\d+",
    fold=r"\d+",
    split=r"split|folds/\d+",


def cases_of(shard):
    """The cases of a shard."""
    return CASES_OF[int(shard)]


def shards(pattern):
    """The files of all shards."""
    return expand(pattern, shard=SHARDS)


@cache
def annotation_files(case):
    """The annotation files of a case, which stand for its content in every rule that reads it."""
    if ALL_AT_ONCE:
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
        return [VIDEOS if ALL_AT_ONCE else f"{SOURCE}/videos/{case}.mp4"]
    return [ancient(str(path)) for path in ADAPTER.case_media(Path(ANNOTATIONS), Path(VIDEOS), case)]


def shared_files(of_case, shard):
    """The files of a shard's cases, each once: many share a spreadsheet."""
    return list(dict.fromkeys(path for case in cases_of(shard) for path in of_case(case)))


def stills_revision(shard):
    """Changes when an image of a shard does, and when one comes or goes."""
    if CONFIG.draw:
        return ""
    named = [f"{path} {media_revision(case)}" for case in cases_of(shard) for path in media_files(case)]
    return digest.join(*named)


def clips_manifest(case):
    """The manifest that a case's clips are in."""
    return f"{RUN}/manifests/clips/" + (f"shards/{shard_of(case, CONFIG.shards)}.jsonl" if STILLS else f"{case}.jsonl")


def media_revision(case):
    """Changes when, and only when, the content of one of a case's videos does."""
    if CONFIG.draw:
        return 0

    def recorded(media):
        manifest = Path(clips_manifest(case))
        clips = [json.loads(line) for line in manifest.read_text().splitlines()] if manifest.is_file() else []
        # Of a run of frames the source is their folder; its digest is no file's, so what was touched is cut again.
        return next((c["source_sha256"] for c in clips if (Path(VIDEOS) / c["source"]) in (media, media.parent)), None)

    media = ADAPTER.case_media(Path(ANNOTATIONS), Path(VIDEOS), case)
    return sum(MEDIA.revision(path, lambda path=path: recorded(path)) for path in media)


def code(command, *modules):
    """The digest of a command's code, as a parameter: an edit of the library reruns what it made."""
    return digest.code(command, *modules)


def corrections_of(shard):
    """What a review changes in a shard; an accepted answer changes nothing."""
    return [one for case in cases_of(shard) for one in CORRECTED.get(case, [])]


def final_samples(suffix=""):
    """The samples of all shards: as written, or as corrected where a review changes something in them."""
    folder = f"{RUN}/manifests/samples"
    return [f"{folder}/{shard}{'.corrected' if corrections_of(shard) else ''}{suffix}.jsonl" for shard in SHARDS]


DATASET_MODULE = f"suture.datasets.{CONFIG.dataset}"


def experiment(wildcards):
    return ASKED[wildcards.experiment].experiment


def family_module(wildcards):
    return f"suture.models.{experiment(wildcards).family}"


@cache
def borders(name):
    """The last step of each job of an experiment; none where `snakemake plan` must be asked first."""
    of = ASKED[name].of
    train = CONFIG.experiments[of].train
    if train.is_open:
        return []
    plan = SETTLED.plans.get(of)
    return plan.borders if plan else schedule.borders(train.max_steps, train.steps_per_job)


def segments(name):
    """The number of jobs that an experiment's steps are divided into."""
    return len(borders(name))


def last_step(name, segment):
    """The step that a segment comes to."""
    if not 0 < segment <= segments(name):
        raise WorkflowError(f"experiment {name} has no segment {segment}; `snakemake plan` settles its steps and jobs")
    return borders(name)[segment - 1]


def base_of(base):
    """An experiment with this base model."""
    return next(one for one in CONFIG.experiments.values() if one.base_key == base)


def base_folder(base):
    """The folder of a base model by its key: fetched, or what another experiment made."""
    before = base_of(base).init_from
    return f"{RUN}/models/{before}" if before else f"{RUN}/models/base/{base}"


def root_of(name):
    """The experiment at the root of `init_from`: whose base model is no other experiment's."""
    while (before := CONFIG.experiments[name].init_from) is not None:
        name = before
    return name


def first_weights(frames):
    """The published or local models that the experiments with these frames begin with, at the root of `init_from`."""
    shown = [name for name, one in CONFIG.experiments.items() if one.frames.key == frames]
    return sorted({CONFIG.experiments[root_of(name)].model for name in shown})


def config_of(name):
    """The configuration of an experiment and of those that it starts from."""
    chain = [name]
    while (before := CONFIG.experiments[chain[-1]].init_from) is not None:
        chain.append(before)
    return {**WRITTEN, "experiments": {one: WRITTEN["experiments"][one] for one in chain}}


def adapter_base(name):
    """The base model that an experiment's adapters speak through: none where they are merged into it, or none answer."""
    one = ASKED[name].experiment
    if one.merge or ASKED[name].model not in (name, ASKED[name].of):
        return []
    return base_folder(one.base_key)


def split_name(name):
    """The split of an experiment: the run's, or that of its fold."""
    folds = ASKED[name].experiment.folds
    return f"folds/{folds[0]}" if folds else "split"


def split_folder(name):
    """Where the split of an experiment lies: the run's, or that of its fold."""
    return f"{RUN}/manifests/{split_name(name)}"


def chunks_of(name):
    """The numbers of the jobs that an experiment's questions are divided among; none where one job answers all."""
    count = ASKED[name].experiment.predict.num_chunks
    return range(count) if count > 1 else ()


def named(names):
    """A pattern that these names match and no other."""
    return "|".join(map(re.escape, names)) or "(?!)"


def samples_of(name, split):
    """The samples of a split that an experiment is about; what it is compared with is about the same."""
    if ASKED[name].experiment.cases is None:
        return f"{split_folder(name)}/{split}.jsonl"
    return f"{RUN}/manifests/experiments/{ASKED[name].of}/{split}.jsonl"


def baseline_answers(name):
    """The predictions that an experiment's numbers stand beside, by the name of the baseline."""
    found = {key.removeprefix(f"{name}."): key for key, one in ASKED.items() if one.of == name and key != name}
    return {baseline: f"{RUN}/predictions/{key}.jsonl" for baseline, key in found.items()}


def report_scores_of(name):
    """What models found in an experiment's reports; nothing where none is given, or it writes no reports."""
    wanted = CONFIG.report_models.paths and ASKED[name].experiment.task == "report"
    return f"{RUN}/metrics/reports/{name}.jsonl" if wanted else []


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


def label_flags(wildcards, flag="--labels"):
    """The classes of an experiment in their order, as a flag; nothing where they are those of training."""
    labels = experiment(wildcards).labels
    return f"{flag} {shlex.join(labels)}" if labels else ""


def drawn_in_test(wildcards):
    """Where it is written down which frames a model was asked about, as a flag; of chunks the first writes all."""
    name = wildcards.experiment
    if name not in SAMPLED or wildcards.get("chunk", "0") != "0":
        return ""
    one = CONFIG.experiments[name]
    where = f"{RUN}/tracking/{name}/sampling_indices"
    return f"--sampling-indices {where}/sampling_indices_{name}_{one.frames.test_sampling}_{one.predict.split}.csv"


def clip_folders(cases):
    """The clips themselves, of jobs that read them: deleted ones are cut again. Their content is in the manifests."""
    if STILLS:
        return [ancient(f"{RUN}/clips/shard-{shard}") for shard in sorted({shard_of(c, CONFIG.shards) for c in cases})]
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


def leaks_of(name):
    """What the leak gate found among the clips of an experiment; it says whether its scores are leaky."""
    one = ASKED[name].experiment
    return f"{RUN}/manifests/leaks/{split_name(name)}/{one.frames.key}.json"


def features_cache(name, base=None):
    """The manifests of an experiment's cached features: none where it runs its vision tower at each step.

    ``base`` is another experiment, whose base model's tower made them.
    """
    one = ASKED[name].experiment
    key = (CONFIG.experiments[base] if base else one).base_key
    folder = f"{RUN}/cache/features/{key}/{one.frames.key}/{arithmetic(one.train).key}"
    return shards(f"{folder}/shard-{{shard}}.jsonl") if one.cache_features else []


def features_arrays(name, base=None):
    """The arrays beside those manifests, as :func:`frames_arrays`."""
    return [ancient(path.replace(".jsonl", ".npy")) for path in features_cache(name, base)]


def cache_files(name):
    """All that is cached for an experiment."""
    return frames_cache(name) + frames_arrays(name) + features_cache(name) + features_arrays(name)


def arithmetic_settings(wildcards):
    """How the vision tower is computed for a cache folder of this name."""
    every = (arithmetic(one.train) for one in CONFIG.experiments.values())
    return next(one for one in every if one.key == wildcards.arithmetic)


def asked_of_queue(name):
    """What a training job gets, by the profile or its rule; nothing where it is computed."""
    found = workflow.get_rule("train_segment").resources.get(name)
    return getattr(found, "raw", None)


def queue_flags():
    """The limits of a training job, as flags of plan.py."""
    flags = {"runtime": asked_of_queue("runtime"), "partition": asked_of_queue("slurm_partition")}
    resources = {name: asked_of_queue(name) for name in ("gpu", "gres", "slurm_extra")}
    flags["gpus"] = profiles.gpus({name: value for name, value in resources.items() if value is not None})
    return " ".join(f"--{name} {value}" for name, value in flags.items() if value)


# Experiments whose steps or jobs are left to `snakemake plan`, and those of them that it has not settled yet.
PLANNED = [name for name, one in WRITTEN["experiments"].items() if schedule.is_open(one.get("train"))]
# Experiments whose frames are drawn anew each time they are used.
SAMPLED = sorted(name for name, one in CONFIG.experiments.items() if one.frames.drawn)
OPEN = [name for name in PLANNED if CONFIG.experiments[name].train.is_open]
if OPEN and workflow.is_main_process:
    why = "; ".join(f"{name} ({SETTLED.waiting.get(name, 'not planned yet')})" for name in OPEN)
    logger.warning(
        f"How many steps and jobs is left to the plan of: {why}. This run makes the plan, no training of them;"
        " the next one, or its dry run, shows the training."
    )
# Options that neither take time in a probe's few steps nor are train.py's.
NOT_TIMED = frozenset({"max_steps", "steps_per_job", "epochs", "save_steps", "logging_steps", "report_to", "seed"})

if workflow.is_main_process:
    atexit.register(purged.tell, workflow)

# For `make why`: what this run, dry or not, would do.
if workflow.is_main_process and (EXPLAINED := os.environ.get("SUTURE_EXPLAIN")):
    atexit.register(lambda: stale.write(Path(EXPLAINED), stale.jobs(workflow, {name: borders(name) for name in ASKED})))


def shown(path, name, category, what):
    """Has Snakemake's own report take a file in. Of credentialed data only report.html: the others name cases."""
    if SHARING == "credentialed":
        return path
    return report(path, caption=f"../workflow/report/captions/{name}.rst", category=category, labels={"what": what})


# Reports once more as tables, for other programs.
REPORTING = [name for name, one in CONFIG.experiments.items() if one.task == "report"]
TABLES = [] if OPEN else [f"{RUN}/reports/{name}_{which}.csv" for name in REPORTING for which in ("pred", "gt")]
TARGETS = {
    "data": [f"{RUN}/dataset"],
    "cache": [*dict.fromkeys(path for name in CONFIG.experiments for path in cache_files(name))],
    "plan": [f"{RUN}/plans/probe/{name}.json" for name in CONFIG.experiments]
    + [f"{RUN}/plans/{name}.json" for name in PLANNED],
    "train": [f"{RUN}/plans/{name}.json" if name in OPEN else f"{RUN}/models/{name}" for name in CONFIG.experiments]
    + [f"{RUN}/outputs/{name}/training_summary.json" for name, one in CONFIG.experiments.items() if one.summary],
    "evaluate": [*([f"{RUN}/metrics.json"] if CONFIG.experiments else []), *TABLES],
    "report": ([f"{RUN}/report.html"] if CONFIG.experiments else []) + ([f"{RUN}/sampling.html"] if SAMPLED else []),
    "push": [f"{RUN}/pushed/{name}.json" for name in PUSHED],
}
if CONFIG.qa.backend != "annotation":
    TARGETS["data"].append(f"{RUN}/qa_quality.json")
if CONFIG.qa.backend not in ("annotation", "existing"):
    TARGETS["qa_preview"] = [f"{RUN}/qa_preview.txt"]
if OPEN:
    # Tables of all experiments come when all are trained.
    TARGETS |= {name: TARGETS["train"] for name in ("evaluate", "report", "push")}
SUMMARIES = [path for path in TARGETS["train"] if path.startswith(f"{RUN}/outputs/")]
TARGETS["all"] = [*dict.fromkeys(TARGETS["data"] + SUMMARIES + TABLES + TARGETS["report"] + TARGETS["push"])]
