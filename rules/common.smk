# What all rules share: the checked configuration, what is looked at before a run begins, and how its jobs are ended.
# cases.smk has the files of a case or shard, experiments.smk what rules ask of an experiment, targets.smk the targets.
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
from suture.config.experiment import CHECKPOINT_FILES
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


if workflow.is_main_process:
    atexit.register(purged.tell, workflow)

# For `make why`: what this run, dry or not, would do.
if workflow.is_main_process and (EXPLAINED := os.environ.get("SUTURE_EXPLAIN")):
    atexit.register(lambda: stale.write(Path(EXPLAINED), stale.jobs(workflow, {name: borders(name) for name in ASKED})))

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


def code(command, *modules):
    """The digest of a command's code, as a parameter: an edit of the library reruns what it made."""
    return digest.code(command, *modules)


def shown(path, name, category, what):
    """Has Snakemake's own report take a file in. Of credentialed data only report.html: the others name cases."""
    if SHARING == "credentialed":
        return path
    return report(path, caption=f"../workflow/report/captions/{name}.rst", category=category, labels={"what": what})
