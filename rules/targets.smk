# What a run can be asked for, as far as its plan is settled.

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
