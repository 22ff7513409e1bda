# Questions and answers: the back end in the config decides which of these rules makes the samples.

if CONFIG.qa.backend == "annotation":

    rule ingest:
        input:
            annotations=lambda w: sorted({path for case in cases_of(w.shard) for path in annotation_files(case)}),
            clips=f"{RUN}/manifests/clips/shards/{{shard}}.jsonl",
        output:
            samples=f"{RUN}/manifests/samples/{{shard}}.jsonl",
            rejected=f"{RUN}/manifests/samples/{{shard}}.rejected.jsonl",
        log:
            f"{RUN}/logs/ingest/{{shard}}.log",
        benchmark:
            f"{RUN}/benchmarks/ingest/{{shard}}.tsv"
        conda:
            "../envs/ingest.yaml"
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            annotations=lambda w: ANNOTATIONS,
            adapter=CONFIG.dataset,
            cases=lambda w: cases_of(w.shard),
            rows=lambda w: annotation_rows(*cases_of(w.shard)),
            code=code("ingest", DATASET_MODULE),
        message:
            "Reading the publisher's questions of shard {wildcards.shard}"
        shell:
            "exec python workflow/scripts/ingest.py --adapter {params.adapter} --root {params.annotations:q}"
            " --cases {params.cases:q} --clips {input.clips:q} --allow-empty --output {output.samples:q}"
            " --rejected {output.rejected:q} > {log:q} 2>&1"

elif CONFIG.qa.backend == "existing":

    rule generate_qa:
        input:
            existing=CONFIG.qa.existing,
            clips=shards(f"{RUN}/manifests/clips/shards/{{shard}}.jsonl"),
        output:
            samples=f"{RUN}/manifests/samples/{{shard}}.jsonl",
            rejected=f"{RUN}/manifests/samples/{{shard}}.rejected.jsonl",
        log:
            f"{RUN}/logs/generate_qa/{{shard}}.log",
        benchmark:
            f"{RUN}/benchmarks/generate_qa/{{shard}}.tsv"
        conda:
            "../envs/generate_qa.yaml"
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            shards=CONFIG.shards,
            code=code("generate_qa"),
        message:
            "Taking the existing questions of shard {wildcards.shard}"
        shell:
            "exec python workflow/scripts/generate_qa.py --existing {input.existing:q} --clips {input.clips:q}"
            " --shard {wildcards.shard} --shards {params.shards} --output {output.samples:q}"
            " --rejected {output.rejected:q} > {log:q} 2>&1"

else:

    rule generate_qa:
        input:
            objects=f"{RUN}/manifests/objects/{{shard}}.json",
            clips=f"{RUN}/manifests/clips/shards/{{shard}}.jsonl",
        output:
            samples=f"{RUN}/manifests/samples/{{shard}}.jsonl",
            rejected=f"{RUN}/manifests/samples/{{shard}}.rejected.jsonl",
        log:
            f"{RUN}/logs/generate_qa/{{shard}}.log",
        benchmark:
            f"{RUN}/benchmarks/generate_qa/{{shard}}.tsv"
        conda:
            "../envs/generate_qa.yaml"
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            backend=CONFIG.qa.backend,
            adapter=CONFIG.dataset,
            kinds=CONFIG.qa.kinds,
            wordings=CONFIG.qa.wordings,
            code=code("generate_qa", DATASET_MODULE),
        message:
            "Writing the questions of shard {wildcards.shard}"
        shell:
            "exec python workflow/scripts/generate_qa.py --backend {params.backend} --adapter {params.adapter}"
            " --objects {input.objects:q}"
            " --clips {input.clips:q} --kinds {params.kinds} --wordings {params.wordings}"
            " --output {output.samples:q} --rejected {output.rejected:q} > {log:q} 2>&1"
