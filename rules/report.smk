# The page that shows what was run and what came out. Snakemake's own `--report` takes it in, and the files behind it.
report: "../workflow/report/captions/workflow.rst"


rule resolve_config:
    output:
        config=f"{RUN}/config.resolved.yaml",
    log:
        f"{RUN}/logs/resolve_config.log",
    benchmark:
        f"{RUN}/benchmarks/resolve_config.tsv"
    conda:
        "../envs/resolve_config.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        config=json.dumps(SETTLED.raw, sort_keys=True),
        code=code("resolve_config"),
    message:
        "Writing down the configuration with its defaults"
    shell:
        "exec python workflow/scripts/resolve_config.py --config {params.config:q} --output {output.config:q}"
        " > {log:q} 2>&1"


rule draw_rulegraph:
    input:
        config=f"{RUN}/config.resolved.yaml",
    output:
        rulegraph=f"{RUN}/rulegraph.mmd",
    log:
        f"{RUN}/logs/draw_rulegraph.log",
    benchmark:
        f"{RUN}/benchmarks/draw_rulegraph.tsv"
    conda:
        "../envs/draw_rulegraph.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        code=code("draw_rulegraph"),
        rules=digest.text(Path(workflow.snakefile), *Path(workflow.basedir, "rules").glob("*.smk")),
    message:
        "Drawing the DAG"
    shell:
        "exec python workflow/scripts/draw_rulegraph.py --config {input.config:q} --output {output.rulegraph:q}"
        " > {log:q} 2>&1"


rule sampling_dashboard:
    input:
        checkpoints=[f"{RUN}/train/{name}/segment-{segments(name)}" for name in SAMPLED],
        predictions=expand(f"{RUN}/predictions/{{experiment}}.jsonl", experiment=SAMPLED),
        frames=sorted({path for name in SAMPLED for path in frames_cache(name)}),
        arrays=sorted({path for name in SAMPLED for path in frames_arrays(name)}),
    output:
        page=shown(f"{RUN}/sampling.html", "sampling", "Results", "which frames the models were shown"),
        numbers=f"{RUN}/sampling.json",
    log:
        f"{RUN}/logs/sampling_dashboard.log",
    benchmark:
        f"{RUN}/benchmarks/sampling_dashboard.tsv"
    conda:
        "../envs/sampling_dashboard.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        # What training and predict.py wrote for those who watch.
        csv=[f"{RUN}/tracking/{name}/sampling_indices" for name in SAMPLED],
        # Pictures only where they may travel.
        pictures=lambda w, input: "" if SHARING == "credentialed" else f"--frames-cache {input.frames}",
        code=code("sampling_dashboard"),
        page=digest.text(
            *(Path(workflow.basedir, "workflow/report", name) for name in ("sampling.html.j2", "page.css"))
        ),
    message:
        "Showing which frames were drawn"
    shell:
        "exec python workflow/scripts/sampling_dashboard.py --csv-dir {params.csv:q} {params.pictures}"
        " --numbers {output.numbers:q} --output {output.page:q} > {log:q} 2>&1"


rule report:
    input:
        metrics=f"{RUN}/metrics.json",
        sampling=f"{RUN}/sampling.json" if SAMPLED else [],
        quality=[] if CONFIG.qa.backend == "annotation" else f"{RUN}/qa_quality.json",
        review=f"{RUN}/review.json" if REVIEWED else [],
        split=f"{RUN}/manifests/split/split.json",
        rejected=f"{RUN}/manifests/rejected.json",
        config=f"{RUN}/config.resolved.yaml",
        rulegraph=f"{RUN}/rulegraph.mmd",
        predictions=expand(f"{RUN}/predictions/{{experiment}}.jsonl", experiment=sorted(CONFIG.experiments)),
        checkpoints=[f"{RUN}/train/{name}/segment-{segments(name)}" for name in sorted(CONFIG.experiments)],
        frames=sorted({path for name in CONFIG.experiments for path in frames_cache(name)}),
        arrays=sorted({path for name in CONFIG.experiments for path in frames_arrays(name)}),
        frames_rejected=sorted(
            {path.replace(".jsonl", ".rejected.jsonl") for name in CONFIG.experiments for path in frames_cache(name)}
        ),
    output:
        **({"private": f"{RUN}/report.private.html"} if SHARING == "credentialed" else {}),
        report=report(
            f"{RUN}/report.html",
            caption="../workflow/report/captions/report.rst",
            category="Results",
            labels={"what": "the whole report"},
        ),
        # With text and frames of samples, for those who may see them: mode 0600.
    log:
        f"{RUN}/logs/report.log",
    benchmark:
        f"{RUN}/benchmarks/report.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        run=CONFIG.run,
        sharing=SHARING,
        predictions=[f"{name}={RUN}/predictions/{name}.jsonl" for name in sorted(CONFIG.experiments)],
        logs=[f"{name}={RUN}/train/{name}/segment-{segments(name)}/log.jsonl" for name in sorted(CONFIG.experiments)],
        questions=lambda w, input: " ".join(
            [
                f"--qa-quality {input.quality}" if input.quality else "",
                f"--review {input.review}" if input.review else "",
            ]
        ),
        sampling=lambda w, input: f"--sampling {input.sampling}" if input.sampling else "",
        private=lambda w, output: f"--private {output.private}" if SHARING == "credentialed" else "",
        # No input: each job adds a line to it, and what was trained is trained.
        ledger=f"{RUN}/ledger.jsonl",
        # Nor these: what jobs used changes nothing that they made.
        used=f"{RUN}/logs {RUN}/benchmarks",
        code=code("report"),
        page=digest.text(*Path(workflow.basedir, "workflow/report").glob("*.*")),
    message:
        "Making the report"
    shell:
        "exec python workflow/scripts/report.py --run {params.run:q} --metrics {input.metrics:q}"
        " --split {input.split:q} --rejected {input.rejected:q}"
        " --frames-rejected {input.frames_rejected:q} --predictions {params.predictions:q}"
        " --logs {params.logs:q} --frames-cache {input.frames:q} --rulegraph {input.rulegraph:q}"
        " --config {input.config:q} --ledger {params.ledger:q} --used {params.used} {params.questions} {params.sampling} --sharing {params.sharing}"
        " {params.private} --output {output.report:q} > {log:q} 2>&1"
