# A run of max_steps is a chain of segments, each a job that fits the queue.


rule fetch_weights:
    input:
        # A file, or a folder's own; nothing for a model that is built here or comes from the hub.
        lambda w: model_files(base_of(w.base).model),
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
        shown=lambda w: f"--num-frames {base_of(w.base).num_frames}" if base_of(w.base).num_frames else "",
        code=lambda w: code("fetch_weights", f"suture.models.{base_of(w.base).family}"),
    message:
        "Fetching the base model {wildcards.base}"
    shell:
        "exec python workflow/scripts/fetch_weights.py --family {params.family} --model {params.model:q}"
        " {params.revision} {params.shown} --output {output.model:q} > {log:q} 2>&1"


rule train_segment:
    input:
        base=lambda w: base_folder(experiment(w).base_key),
        train=lambda w: samples_of(w.experiment, "train"),
        val=lambda w: samples_of(w.experiment, "val"),
        # A gate, no input: what was trained stays trained where another threshold finds nothing either.
        leaks=lambda w: ancient(leaks_of(w.experiment)),
        frames=lambda w: frames_cache(w.experiment),
        features=lambda w: features_cache(w.experiment),
        arrays=lambda w: features_arrays(w.experiment) or frames_arrays(w.experiment),
        choices=lambda w: experiment(w).predict.choices if experiment(w).prompt_mode == "choices" else [],
        previous=lambda w: (f"{RUN}/train/{w.experiment}/segment-{int(w.segment) - 1}" if int(w.segment) > 1 else []),
    output:
        checkpoint=directory(f"{RUN}/train/{{experiment}}/segment-{{segment}}"),
    log:
        f"{RUN}/logs/train_segment/{{experiment}}/{{segment}}.log",
    benchmark:
        f"{RUN}/benchmarks/train_segment/{{experiment}}-{{segment}}.tsv"
    # A job that stopped in time, or was taken away, is followed by one that goes on from its progress.
    retries: RETRIES
    conda:
        "../envs/train_segment.yaml"
    resources:
        mem_mb=16000,
        runtime=600,
        # Its GPUs are of one node, and each has a process (torchrun); several nodes: docs/slurm.md.
        nodes=1,
        # A refusal is remembered: the attempts after it end at once.
        attempt=lambda w, attempt: attempt,
    params:
        family=lambda w: experiment(w).family,
        until=lambda w: last_step(w.experiment, int(w.segment)),
        resume=lambda w, input: f"--resume {input.previous}" if input.previous else "",
        features=lambda w, input: f"--features-cache {input.features}" if input.features else "",
        # Progress of an interrupted job. It is no output: Snakemake deletes the outputs of a job that failed.
        work=f"{RUN}/work/{{experiment}}/segment-{{segment}}",
        # Curves for those who watch, and what each job took: no rule but the report reads them.
        tracking=f"{RUN}/tracking/{{experiment}}",
        ledger=f"{RUN}/ledger.jsonl",
        sampling=lambda w: experiment(w).frames.sampling,
        options=lambda w: to_flags(experiment(w).train, leave_out=frozenset({"steps_per_job", "epochs"})),
        labels=lambda w: label_flags(w),
        prompt=lambda w: experiment(w).prompt_flags,
        code=lambda w: code("train", family_module(w)),
    message:
        "Training {wildcards.experiment} to step {params.until}"
    shell:
        "exec python workflow/scripts/train.py --family {params.family} --model {input.base:q}"
        " --train {input.train:q} --val {input.val:q} --frames-cache {input.frames:q} {params.features}"
        " {params.resume} --experiment {wildcards.experiment} --segment {wildcards.segment} {params.sampling}"
        " {params.labels} {params.prompt} --ledger {params.ledger:q} --tracking-dir {params.tracking:q}"
        " --until-step {params.until} {params.options} --work-dir {params.work:q} --attempt {resources.attempt} "
        "--nodes {resources.nodes} " + DEADLINE + " --output {output.checkpoint:q} > {log:q} 2>&1"


rule export_model:
    input:
        base=lambda w: base_folder(experiment(w).base_key),
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
        merge=lambda w: "" if experiment(w).merge else "--no-merge",
        code=lambda w: code("export_model", family_module(w)),
    message:
        "Exporting the model of {wildcards.experiment}"
    shell:
        "exec python workflow/scripts/export_model.py --base {input.base:q}"
        " --checkpoint {input.checkpoint:q} {params.merge} --output {output.model:q} > {log:q} 2>&1"


# What FADA's notebooks leave behind for each category; asked for by the experiments that have `summary`.
rule summarise_training:
    input:
        model=f"{RUN}/models/{{experiment}}",
        checkpoint=lambda w: f"{RUN}/train/{w.experiment}/segment-{segments(w.experiment)}",
        train=lambda w: samples_of(w.experiment, "train"),
        val=lambda w: samples_of(w.experiment, "val"),
        test=lambda w: samples_of(w.experiment, "test"),
    output:
        model=directory(f"{RUN}/outputs/{{experiment}}/final_model"),
        summary=f"{RUN}/outputs/{{experiment}}/training_summary.json",
    log:
        f"{RUN}/logs/summarise_training/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/summarise_training/{{experiment}}.tsv"
    conda:
        "../envs/summarise_training.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        # No input: each job adds a line to it.
        ledger=f"{RUN}/ledger.jsonl",
        named=lambda w: base_folder(experiment(w).base_key) if experiment(w).init_from else experiment(w).model,
        code=code("summarise_training"),
    message:
        "Summing up the training of {wildcards.experiment}"
    shell:
        "exec python workflow/scripts/summarise_training.py --experiment {wildcards.experiment} --model {input.model:q}"
        " --checkpoint {input.checkpoint:q} --base-name {params.named:q} --train {input.train:q} --val {input.val:q}"
        " --test {input.test:q} --ledger {params.ledger:q} --output-model {output.model:q}"
        " --output {output.summary:q} > {log:q} 2>&1"


# Asked for by the experiments that have `push_to_hub`. The token comes from the environment variable HF_TOKEN.
rule push_to_hub:
    input:
        model=f"{RUN}/models/{{experiment}}",
        metrics=f"{RUN}/metrics/{{experiment}}.json",
        split=f"{RUN}/manifests/split/split.json",
    output:
        receipt=f"{RUN}/pushed/{{experiment}}.json",
        page=f"{RUN}/pushed/{{experiment}}.README.md",
    log:
        f"{RUN}/logs/push_to_hub/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/push_to_hub/{{experiment}}.tsv"
    conda:
        "../envs/push_to_hub.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        dataset=CONFIG.dataset,
        sharing=SHARING,
        task=lambda w: experiment(w).task,
        # No input: each job adds a line to it, which makes no model another one.
        ledger=f"{RUN}/ledger.jsonl",
        options=lambda w: to_flags(experiment(w).push_to_hub),
        code=lambda w: code("push_to_hub", f"suture.tasks.{experiment(w).task}"),
        template=digest.text(Path(workflow.basedir, "workflow/report/cards/model_card.md.j2")),
    message:
        "Pushing {wildcards.experiment} to the hub"
    shell:
        "exec python workflow/scripts/push_to_hub.py --model {input.model:q} --dataset {params.dataset}"
        " --sharing {params.sharing} --task {params.task} --metrics {input.metrics:q} --split-info {input.split:q}"
        " --ledger {params.ledger:q} --experiment {wildcards.experiment} {params.options}"
        " --output {output.receipt:q} > {log:q} 2>&1"
