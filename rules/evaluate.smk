# What the models answer to the test questions, and what that is worth.


rule predict:
    input:
        model=lambda w: f"{RUN}/models/{ASKED[w.experiment].model}",
        base=lambda w: adapter_base(w.experiment),
        samples=lambda w: samples_of(w.experiment, experiment(w).predict.split),
        frames=lambda w: frames_cache(w.experiment),
        arrays=lambda w: frames_arrays(w.experiment),
        choices=lambda w: experiment(w).predict.choices or [],
    output:
        predictions=f"{RUN}/predictions/{{experiment}}.jsonl",
    log:
        f"{RUN}/logs/predict/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/predict/{{experiment}}.tsv"
    wildcard_constraints:
        experiment=named(name for name in ASKED if not chunks_of(name)),
    conda:
        "../envs/predict.yaml"
    resources:
        mem_mb=16000,
        runtime=240,
    params:
        # Adapters that are not merged speak through their base.
        model=lambda w, input: f"{input.base} --adapter {input.model}" if input.base else input.model,
        options=lambda w: to_flags(
            experiment(w).predict, leave_out={"split", "settings", "num_chunks"} | experiment(w).predict.without_effect
        ),
        video=lambda w: ASKED[w.experiment].video,
        # For those who watch, as training's.
        drawn=lambda w: drawn_in_test(w),
        prompt=lambda w: f"--prompt-mode {experiment(w).prompt_mode}" if experiment(w).prompt_mode else "",
        part=lambda w: f"--num-chunks {len(chunks_of(w.experiment))} --chunk {w.chunk}" if "chunk" in w.keys() else "",
        code=lambda w: code("predict", family_module(w)),
    message:
        "Asking {wildcards.experiment} the questions"
    shell:
        "exec python workflow/scripts/predict.py --model {params.model} --samples {input.samples:q}"
        " --frames-cache {input.frames:q} --video {params.video} {params.drawn} {params.options} {params.prompt}"
        " {params.part} --output {output.predictions:q} > {log:q} 2>&1"


# A part of the questions each, a job a GPU; what is drawn for a question does not depend on its part.
use rule predict as predict_chunk with:
    output:
        predictions=f"{RUN}/predictions/chunks/{{experiment}}/{{chunk}}.jsonl",
    log:
        f"{RUN}/logs/predict_chunk/{{experiment}}/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/predict_chunk/{{experiment}}/{{chunk}}.tsv"
    wildcard_constraints:
        experiment=named(name for name in ASKED if chunks_of(name)),
        chunk=r"\d+",
    message:
        "Asking {wildcards.experiment} the questions of chunk {wildcards.chunk}"


rule merge_predictions:
    input:
        chunks=lambda w: expand(
            f"{RUN}/predictions/chunks/{w.experiment}/{{chunk}}.jsonl", chunk=chunks_of(w.experiment)
        ),
    output:
        predictions=f"{RUN}/predictions/{{experiment}}.jsonl",
    log:
        f"{RUN}/logs/merge_predictions/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/merge_predictions/{{experiment}}.tsv"
    wildcard_constraints:
        experiment=named(name for name in ASKED if chunks_of(name)),
    conda:
        "../envs/merge_predictions.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("merge_predictions"),
    message:
        "Joining the answers of {wildcards.experiment}"
    shell:
        "exec python workflow/scripts/merge_predictions.py --chunks {input.chunks:q} --output {output.predictions:q} > {log:q} 2>&1"


# As CXR-Report-Metric and others read them.
rule write_reports:
    input:
        predictions=f"{RUN}/predictions/{{experiment}}.jsonl",
    output:
        pred=f"{RUN}/reports/{{experiment}}_pred.csv",
        gt=f"{RUN}/reports/{{experiment}}_gt.csv",
    log:
        f"{RUN}/logs/write_reports/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/write_reports/{{experiment}}.tsv"
    conda:
        "../envs/write_reports.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("write_reports"),
    message:
        "Writing the reports of {wildcards.experiment} as tables"
    shell:
        "exec python workflow/scripts/write_reports.py --predictions {input.predictions:q}"
        " --answers-file-pred {output.pred:q} --answers-file-gt {output.gt:q} > {log:q} 2>&1"


# With models that are given by path: an environment of its own, the only one of scoring that needs torch.
rule measure_reports:
    input:
        predictions=f"{RUN}/predictions/{{experiment}}.jsonl",
        baselines=lambda w: list(baseline_answers(w.experiment).values()),
        models=[ancient(path) for path in CONFIG.report_models.paths],
    output:
        scores=f"{RUN}/metrics/reports/{{experiment}}.jsonl",
    log:
        f"{RUN}/logs/measure_reports/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/measure_reports/{{experiment}}.tsv"
    conda:
        "../envs/measure_reports.yaml"
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        options=to_flags(CONFIG.report_models),
        code=code("measure_reports"),
    message:
        "Measuring the reports of {wildcards.experiment}"
    shell:
        "exec python workflow/scripts/measure_reports.py --predictions {input.predictions:q} {input.baselines:q}"
        " {params.options} --output {output.scores:q} > {log:q} 2>&1"


rule score:
    input:
        predictions=f"{RUN}/predictions/{{experiment}}.jsonl",
        references=lambda w: samples_of(w.experiment, "train"),
        leaks=lambda w: leaks_of(w.experiment),
        baselines=lambda w: list(baseline_answers(w.experiment).values()),
        clips=lambda w: f"{RUN}/manifests/clips.jsonl" if "metadata" in experiment(w).baselines else [],
        # File sizes are metadata.
        media=lambda w: clip_folders(CASES) if "metadata" in experiment(w).baselines else [],
        labels=lambda w: experiment(w).predict.choices or [],
        groups=CONFIG.score.groups or [],
        reports=lambda w: report_scores_of(w.experiment),
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
        adapter=CONFIG.adapter,
        scored=lambda w: experiment(w).predict.split,
        baselines=lambda w: baseline_flags(w.experiment),
        metadata=lambda w, input: f"--clips {input.clips} --clips-dir {RUN}/clips" if input.clips else "",
        labels=lambda w, input: f"--labels {shlex.quote(input.labels)}" if input.labels else "",
        reports=lambda w, input: f"--report-scores {shlex.quote(input.reports)}" if input.reports else "",
        options=to_flags(CONFIG.score),
        names=lambda w: label_flags(w, "--label-names"),
        code=lambda w: code("score", f"suture.tasks.{experiment(w).task}", DATASET_MODULE),
    message:
        "Scoring {wildcards.experiment}"
    shell:
        "exec python workflow/scripts/score.py --task {params.task} --predictions {input.predictions:q}"
        " --adapter {params.adapter} --references {input.references:q} --split-info {input.leaks:q}"
        " --split {params.scored} {params.baselines} {params.metadata} {params.labels} {params.names} {params.reports}"
        " {params.options}"
        " --output {output.entry:q} > {log:q} 2>&1"


rule merge_metrics:
    input:
        entries=expand(f"{RUN}/metrics/{{experiment}}.json", experiment=sorted(CONFIG.experiments)),
    output:
        metrics=shown(f"{RUN}/metrics.json", "metrics", "Results", "all measures"),
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
        repeats=(
            " ".join(["--repeats", *(f"{name}={','.join(runs)}" for name, runs in REPEATS.items())]) if REPEATS else ""
        ),
        code=code("merge_metrics"),
    message:
        "Writing metrics.json"
    shell:
        "exec python workflow/scripts/merge_metrics.py --run {params.run:q} --entries {input.entries:q}"
        " --names {params.names:q} {params.repeats} --output {output.metrics:q} > {log:q} 2>&1"
