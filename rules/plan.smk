# What training will take: measured by a few steps on the hardware that trains, shown before it is spent.
# `epochs` and `steps_per_job: auto` become numbers here; the DAG is built by them from the next run on.


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


rule probe:
    input:
        base=lambda w: f"{RUN}/models/base/{experiment(w).base_key}",
        train=f"{RUN}/manifests/split/train.jsonl",
        val=f"{RUN}/manifests/split/val.jsonl",
        frames=lambda w: frames_cache(w.experiment),
        features=lambda w: features_cache(w.experiment),
        arrays=lambda w: features_arrays(w.experiment) + frames_arrays(w.experiment),
    output:
        probe=f"{RUN}/plans/probe/{{experiment}}.json",
    log:
        f"{RUN}/logs/probe/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/probe/{{experiment}}.tsv"
    conda:
        "../envs/probe.yaml"
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        family=lambda w: experiment(w).family,
        features=lambda w, input: f"--features-cache {input.features}" if input.features else "",
        # A checkpoint is written where those of training are.
        work=f"{RUN}/work/{{experiment}}",
        options=lambda w: to_flags(experiment(w).train, leave_out=NOT_TIMED),
        code=lambda w: code("probe", family_module(w)),
    message:
        "Measuring a few steps of {wildcards.experiment}"
    shell:
        "exec python workflow/scripts/probe.py --family {params.family} --model {input.base:q}"
        " --train {input.train:q} --val {input.val:q} --frames-cache {input.frames:q} {params.features}"
        " --experiment {wildcards.experiment} {params.options} --work-dir {params.work:q}"
        " --output {output.probe:q} > {log:q} 2>&1"


rule plan_steps:
    input:
        probe=f"{RUN}/plans/probe/{{experiment}}.json",
        split=f"{RUN}/manifests/split/split.json",
    output:
        plan=f"{RUN}/plans/{{experiment}}.json",
    log:
        f"{RUN}/logs/plan_steps/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/plan_steps/{{experiment}}.tsv"
    conda:
        "../envs/plan_steps.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        config=lambda w: json.dumps({**config, "experiments": {w.experiment: config["experiments"][w.experiment]}}),
        queue=queue_flags(),
        code=code("plan"),
    message:
        "Dividing the steps of {wildcards.experiment} into jobs"
    shell:
        "exec python workflow/scripts/plan.py --config-json {params.config:q} {params.queue}"
        " --experiment {wildcards.experiment} --output {output.plan:q} > {log:q} 2>&1"


# A target without output: its table is printed each time it is asked for.
rule plan:
    input:
        TARGETS["plan"],
    log:
        f"{RUN}/logs/plan.log",
    conda:
        "../envs/plan.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        config=json.dumps(config),
        queue=queue_flags(),
        code=code("plan"),
    message:
        "The plan of {RUN}"
    shell:
        "exec python workflow/scripts/plan.py --config-json {params.config:q} {params.queue} 2> {log:q}"
