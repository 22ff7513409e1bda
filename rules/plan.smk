# What training will take: measured by a few steps on the hardware that trains, shown before it is spent.
# `epochs` and `steps_per_job: auto` become numbers here; the DAG is built by them from the next run on.


rule probe:
    input:
        # The model at the root of `init_from`: of equal size, and there before anything is trained.
        base=lambda w: base_folder(CONFIG.experiments[root_of(w.experiment)].base_key),
        train=lambda w: samples_of(w.experiment, "train"),
        val=lambda w: samples_of(w.experiment, "val"),
        frames=lambda w: frames_cache(w.experiment),
        features=lambda w: features_cache(w.experiment, root_of(w.experiment)),
        arrays=lambda w: features_arrays(w.experiment, root_of(w.experiment)) + frames_arrays(w.experiment),
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
        nodes=1,
    params:
        family=lambda w: experiment(w).family,
        features=lambda w, input: f"--features-cache {input.features}" if input.features else "",
        sampling=lambda w: experiment(w).frames.sampling if experiment(w).frames.drawn else "",
        labels=lambda w: label_flags(w),
        prompt=lambda w: experiment(w).prompt_flags,
        # A checkpoint is written where those of training are.
        work=f"{RUN}/work/{{experiment}}",
        options=lambda w: to_flags(experiment(w).train, leave_out=NOT_TIMED),
        code=lambda w: code("probe", family_module(w)),
    message:
        "Measuring a few steps of {wildcards.experiment}"
    shell:
        "exec python workflow/scripts/probe.py --family {params.family} --model {input.base:q}"
        " --train {input.train:q} --val {input.val:q} --frames-cache {input.frames:q} {params.features}"
        " {params.sampling} {params.labels} {params.prompt} --experiment {wildcards.experiment} {params.options} --work-dir {params.work:q}"
        " --nodes {resources.nodes} --output {output.probe:q} > {log:q} 2>&1"


rule plan_steps:
    input:
        probe=f"{RUN}/plans/probe/{{experiment}}.json",
        split=lambda w: f"{split_folder(w.experiment)}/split.json",
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
        config=lambda w: json.dumps(config_of(w.experiment)),
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
        config=json.dumps(WRITTEN),
        queue=queue_flags(),
        code=code("plan"),
    message:
        "The plan of {RUN}"
    shell:
        "exec python workflow/scripts/plan.py --config-json {params.config:q} {params.queue} 2> {log:q}"
