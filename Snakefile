# Suture: annotated medical video -> clips -> questions -> splits -> trained, honestly measured models.
#
#   snakemake                        everything of config.yaml (the demo), here
#   snakemake --profile slurm        the same on a cluster
#   snakemake -n                     what would run, and why
#   snakemake --configfile config/surgery-sft.yaml ...    another run
#
# Targets: all (default), data, cache, plan, train, evaluate, report, push, qa_preview.
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))


# config.yaml is the demo. Snakemake merges config files key by key, and the
# demo's experiments would join those of another run: so it is read only where
# no --configfile is given.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/cases.smk"
include: "rules/experiments.smk"
include: "rules/targets.smk"


# Seconds of work, or the hub, which compute nodes often cannot reach: done where snakemake runs.
localrules:
    all,
    data,
    cache,
    train,
    evaluate,
    push,
    plan,
    plan_steps,
    fetch_weights,
    push_to_hub,
    merge_metrics,
    merge_predictions,
    write_reports,
    select_samples,
    correct_samples,
    rate_review,
    resolve_config,
    draw_rulegraph,


rule all:
    default_target: True
    input:
        TARGETS["all"],


rule data:
    input:
        TARGETS["data"],


rule cache:
    input:
        TARGETS["cache"],


rule train:
    input:
        TARGETS["train"],


rule evaluate:
    input:
        TARGETS["evaluate"],


rule push:
    input:
        TARGETS["push"],


if "qa_preview" in TARGETS:

    localrules:
        qa_preview,

    rule qa_preview:
        input:
            TARGETS["qa_preview"],


include: "rules/data.smk"
include: "rules/qa.smk"
include: "rules/split.smk"
include: "rules/cache.smk"
include: "rules/train.smk"
include: "rules/plan.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


if workflow.is_main_process:
    more_memory.grow(workflow, since=workflow.start_time.timestamp())
