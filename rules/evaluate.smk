# What the models answer to the test questions, and what that is worth.


rule predict:
    input:
        model=f"{RUN}/models/{{experiment}}",
        samples=lambda w: samples_of(w.experiment, experiment(w).predict.split),
        frames=lambda w: frames_cache(w.experiment),
        arrays=lambda w: frames_arrays(w.experiment),
    output:
        predictions=f"{RUN}/predictions/{{experiment}}.jsonl",
    log:
        f"{RUN}/logs/predict/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/predict/{{experiment}}.tsv"
    conda:
        "../envs/predict.yaml"
    resources:
        mem_mb=16000,
        runtime=240,
    params:
        options=lambda w: to_flags(experiment(w).predict, leave_out=frozenset({"split"})),
        code=lambda w: code("predict", family_module(w)),
    message:
        "Asking {wildcards.experiment} the questions"
    shell:
        "exec python workflow/scripts/predict.py --model {input.model:q} --samples {input.samples:q}"
        " --frames-cache {input.frames:q} {params.options} --output {output.predictions:q} > {log:q} 2>&1"


rule score:
    input:
        predictions=f"{RUN}/predictions/{{experiment}}.jsonl",
        references=lambda w: samples_of(w.experiment, "train"),
        split=f"{RUN}/manifests/split/split.json",
    output:
        entry=f"{RUN}/metrics/{{experiment}}.json",
    log:
        f"{RUN}/logs/score/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/score/{{experiment}}.tsv"
    conda:
        "../envs/score.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        task=lambda w: experiment(w).task,
        scored=lambda w: experiment(w).predict.split,
        code=lambda w: code("score", f"suture.tasks.{experiment(w).task}"),
    message:
        "Scoring {wildcards.experiment}"
    shell:
        "exec python workflow/scripts/score.py --task {params.task} --predictions {input.predictions:q}"
        " --references {input.references:q} --split-info {input.split:q}"
        " --split {params.scored} --output {output.entry:q} > {log:q} 2>&1"


rule merge_metrics:
    input:
        entries=expand(f"{RUN}/metrics/{{experiment}}.json", experiment=sorted(CONFIG.experiments)),
    output:
        metrics=f"{RUN}/metrics.json",
    log:
        f"{RUN}/logs/merge_metrics.log",
    benchmark:
        f"{RUN}/benchmarks/merge_metrics.tsv"
    conda:
        "../envs/merge_metrics.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        run=CONFIG.run,
        names=sorted(CONFIG.experiments),
        code=code("merge_metrics"),
    message:
        "Writing metrics.json"
    shell:
        "exec python workflow/scripts/merge_metrics.py --run {params.run:q} --entries {input.entries:q}"
        " --names {params.names:q} --output {output.metrics:q} > {log:q} 2>&1"
