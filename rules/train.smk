# A run of max_steps is a chain of segments, each a job that fits the queue.


rule fetch_weights:
    input:
        # A folder's own files; nothing for a model that is built here or comes from the hub.
        lambda w: sorted(map(str, Path(base_of(w.base).model).glob("*.*"))) if "/" in base_of(w.base).model else [],
    output:
        model=directory(f"{RUN}/models/base/{{base}}"),
    log:
        f"{RUN}/logs/fetch_weights/{{base}}.log",
    benchmark:
        f"{RUN}/benchmarks/fetch_weights/{{base}}.tsv"
    conda:
        "../envs/fetch_weights.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        family=lambda w: base_of(w.base).family,
        model=lambda w: base_of(w.base).model,
        revision=lambda w: f"--revision {base_of(w.base).revision}" if base_of(w.base).revision else "",
        code=lambda w: code("fetch_weights", f"suture.models.{base_of(w.base).family}"),
    message:
        "Fetching the base model {wildcards.base}"
    shell:
        "exec python workflow/scripts/fetch_weights.py --family {params.family} --model {params.model:q}"
        " {params.revision} --output {output.model:q} > {log:q} 2>&1"


rule train_segment:
    input:
        base=lambda w: f"{RUN}/models/base/{experiment(w).base_key}",
        train=f"{RUN}/manifests/split/train.jsonl",
        val=f"{RUN}/manifests/split/val.jsonl",
        frames=lambda w: frames_cache(w.experiment),
        features=lambda w: features_cache(w.experiment),
        arrays=lambda w: features_arrays(w.experiment) or frames_arrays(w.experiment),
        previous=lambda w: (f"{RUN}/train/{w.experiment}/segment-{int(w.segment) - 1}" if int(w.segment) > 1 else []),
    output:
        checkpoint=directory(f"{RUN}/train/{{experiment}}/segment-{{segment}}"),
    log:
        f"{RUN}/logs/train_segment/{{experiment}}/{{segment}}.log",
    benchmark:
        f"{RUN}/benchmarks/train_segment/{{experiment}}-{{segment}}.tsv"
    conda:
        "../envs/train_segment.yaml"
    resources:
        mem_mb=16000,
        runtime=600,
    params:
        family=lambda w: experiment(w).family,
        until=lambda w: min(int(w.segment) * experiment(w).train.steps_per_job, experiment(w).train.max_steps),
        resume=lambda w, input: f"--resume {input.previous}" if input.previous else "",
        features=lambda w, input: f"--features-cache {input.features}" if input.features else "",
        # Progress of an interrupted job. It is no output: Snakemake deletes the outputs of a job that failed.
        work=f"{RUN}/work/{{experiment}}/segment-{{segment}}",
        # Curves for those who watch; no rule reads them.
        tracking=f"{RUN}/tracking/{{experiment}}",
        options=lambda w: to_flags(experiment(w).train, leave_out=frozenset({"steps_per_job"})),
        code=lambda w: code("train", family_module(w)),
    message:
        "Training {wildcards.experiment} to step {params.until}"
    shell:
        "exec python workflow/scripts/train.py --family {params.family} --model {input.base:q}"
        " --train {input.train:q} --val {input.val:q} --frames-cache {input.frames:q} {params.features}"
        " {params.resume} --experiment {wildcards.experiment} --tracking-dir {params.tracking:q}"
        " --until-step {params.until} {params.options} --work-dir {params.work:q}"
        " --output {output.checkpoint:q} > {log:q} 2>&1"


rule export_model:
    input:
        base=lambda w: f"{RUN}/models/base/{experiment(w).base_key}",
        checkpoint=lambda w: f"{RUN}/train/{w.experiment}/segment-{segments(w.experiment)}",
    output:
        model=directory(f"{RUN}/models/{{experiment}}"),
    log:
        f"{RUN}/logs/export_model/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/export_model/{{experiment}}.tsv"
    conda:
        "../envs/export_model.yaml"
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        code=lambda w: code("export_model", family_module(w)),
    message:
        "Exporting the model of {wildcards.experiment}"
    shell:
        "exec python workflow/scripts/export_model.py --base {input.base:q}"
        " --checkpoint {input.checkpoint:q} --output {output.model:q} > {log:q} 2>&1"
