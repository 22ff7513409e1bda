# Questions and answers: the back end in the config decides which of these rules makes the samples.
from suture import qa
from suture.qa import sharing as qa_sharing

QA_FOLDER = Path(qa.__file__).parent

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
            videos=lambda w: VIDEOS,
            adapter=CONFIG.adapter,
            cases=lambda w: cases_of(w.shard),
            questions=CONFIG.qa.questions,
            kept=f"--keep-kinds {shlex.join(CONFIG.qa.keep_kinds)}" if CONFIG.qa.keep_kinds else "",
            rows=lambda w: annotation_rows(*cases_of(w.shard)),
            code=code("ingest", DATASET_MODULE),
        message:
            "Reading the publisher's questions of shard {wildcards.shard}"
        shell:
            "exec python workflow/scripts/ingest.py --adapter {params.adapter} --root {params.annotations:q}"
            " --videos {params.videos:q} --cases {params.cases:q} --clips {input.clips:q} --allow-empty"
            " --questions {params.questions} {params.kept} --output {output.samples:q}"
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

elif CONFIG.qa.backend == "template":

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
            adapter=CONFIG.adapter,
            kinds=CONFIG.qa.kinds,
            wordings=CONFIG.qa.wordings,
            first=CONFIG.qa.first_wording,
            code=code("generate_qa", DATASET_MODULE),
        message:
            "Writing the questions of shard {wildcards.shard}"
        shell:
            "exec python workflow/scripts/generate_qa.py --backend {params.backend} --adapter {params.adapter}"
            " --objects {input.objects:q}"
            " --clips {input.clips:q} --kinds {params.kinds} --wordings {params.wordings}"
            " --first-wording {params.first}"
            " --output {output.samples:q} --rejected {output.rejected:q} > {log:q} 2>&1"

else:
    LLM = CONFIG.qa.llm
    # A model on this cluster takes a GPU; one behind an address takes a share of what its server can bear.
    REMOTE = LLM.base_url is not None
    if reason := qa_sharing.refusal(SHARING, LLM):
        raise WorkflowError(f"qa.llm.base_url: {reason}")

    rule generate_qa:
        input:
            objects=f"{RUN}/manifests/objects/{{shard}}.json",
            clips=f"{RUN}/manifests/clips/shards/{{shard}}.jsonl",
            # A folder's own files: other weights, other words.
            weights=sorted(map(str, Path(LLM.model).glob("*.*"))) if Path(LLM.model).is_dir() else [],
        output:
            samples=f"{RUN}/manifests/samples/{{shard}}.jsonl",
            rejected=f"{RUN}/manifests/samples/{{shard}}.rejected.jsonl",
            quality=f"{RUN}/manifests/samples/{{shard}}.quality.json",
        log:
            f"{RUN}/logs/generate_qa/{{shard}}.log",
        benchmark:
            f"{RUN}/benchmarks/generate_qa/{{shard}}.tsv"
        conda:
            "../envs/generate_qa.yaml"
        resources:
            mem_mb=4000 if REMOTE else 32000,
            runtime=240,
            # Of all jobs together: `--resources llm_api=4` lets four of them ask at once.
            llm_api=int(REMOTE),
            gpu=int(not REMOTE),
        params:
            backend=CONFIG.qa.backend,
            adapter=CONFIG.adapter,
            kinds=CONFIG.qa.kinds,
            wordings=CONFIG.qa.wordings,
            first=CONFIG.qa.first_wording,
            sharing=SHARING,
            seed=LLM.seed,
            llm=to_flags(LLM, leave_out=frozenset({"seed"})),
            # Prompts of one's own are read by name: their content counts.
            prompts=digest.text(*sorted(Path(LLM.prompts).glob("*.txt"))) if LLM.prompts else "",
            lists=digest.text(*sorted(QA_FOLDER.rglob("*.txt"))),
            # Replies are no output: Snakemake deletes the outputs of a job that failed.
            replies=f"{RUN}/work/qa/{{shard}}.replies.jsonl",
            server=f"{RUN}/logs/generate_qa/{{shard}}.server.log",
            code=code("generate_qa", DATASET_MODULE),
        message:
            "Having the questions of shard {wildcards.shard} written"
        shell:
            "exec python workflow/scripts/generate_qa.py --backend {params.backend} --adapter {params.adapter}"
            " --objects {input.objects:q}"
            " --clips {input.clips:q} --kinds {params.kinds} --wordings {params.wordings}"
            " --first-wording {params.first} --seed {params.seed} --sharing {params.sharing} {params.llm}"
            " --replies {params.replies:q} --server-log {params.server:q} --quality {output.quality:q}"
            " --output {output.samples:q} --rejected {output.rejected:q} > {log:q} 2>&1"


if CONFIG.qa.backend != "annotation":

    localrules:
        merge_qa_quality,

    rule merge_qa_quality:
        input:
            samples=final_samples(),
            quality=shards(f"{RUN}/manifests/samples/{{shard}}.quality.json") if CONFIG.qa.llm else [],
        output:
            shown(f"{RUN}/qa_quality.json", "qa_quality", "Questions", "how good they are"),
        log:
            f"{RUN}/logs/merge_qa_quality.log",
        benchmark:
            f"{RUN}/benchmarks/merge_qa_quality.tsv"
        conda:
            "../envs/merge_qa_quality.yaml"
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            shards=lambda w, input: f"--shards {' '.join(input.quality)}" if input.quality else "",
            code=code("merge_qa_quality"),
        message:
            "Adding up how good the questions are"
        shell:
            "exec python workflow/scripts/merge_qa_quality.py --samples {input.samples:q} {params.shards}"
            " --output {output:q} > {log:q} 2>&1"


if "qa_preview" in TARGETS:

    localrules:
        preview_qa,

    rule preview_qa:
        input:
            objects=shards(f"{RUN}/manifests/objects/{{shard}}.json"),
            clips=shards(f"{RUN}/manifests/clips/shards/{{shard}}.jsonl"),
        output:
            preview=f"{RUN}/qa_preview.txt",
        log:
            f"{RUN}/logs/preview_qa.log",
        benchmark:
            f"{RUN}/benchmarks/preview_qa.tsv"
        conda:
            "../envs/preview_qa.yaml"
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            adapter=CONFIG.adapter,
            kinds=CONFIG.qa.kinds,
            wordings=CONFIG.qa.wordings,
            first=CONFIG.qa.first_wording,
            sharing=SHARING,
            llm=to_flags(CONFIG.qa.llm, only=frozenset({"base_url", "prompts", "seed"})) if CONFIG.qa.llm else "",
            internal="--allow-internal" if CONFIG.qa.llm and CONFIG.qa.llm.allow_internal else "",
            lists=digest.text(*sorted(QA_FOLDER.rglob("*.txt"))),
            code=code("qa_preview", DATASET_MODULE),
        message:
            "Writing down what a language model would be told"
        shell:
            "exec python workflow/scripts/qa_preview.py --adapter {params.adapter} --objects {input.objects:q}"
            " --clips {input.clips:q} --count 0 --kinds {params.kinds} --wordings {params.wordings}"
            " --first-wording {params.first} --sharing {params.sharing} {params.llm} {params.internal}"
            " --output {output.preview:q} > {log:q} 2>&1"


# What a reviewer found. Only shards in which it changes something have such a job, and only these are made anew when
# the file of corrections changes: it is `ancient`, `rows` says what it holds about this shard.
rule correct_samples:
    input:
        samples=f"{RUN}/manifests/samples/{{shard}}.jsonl",
        corrections=[ancient(path) for path in CORRECTIONS],
    output:
        samples=f"{RUN}/manifests/samples/{{shard}}.corrected.jsonl",
        rejected=f"{RUN}/manifests/samples/{{shard}}.corrected.rejected.jsonl",
    log:
        f"{RUN}/logs/correct_samples/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/correct_samples/{{shard}}.tsv"
    conda:
        "../envs/correct_samples.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        cases=lambda w: cases_of(w.shard),
        rows=lambda w: corrections.digest_of(corrections_of(w.shard)),
        code=code("correct_samples"),
    message:
        "Applying the review's corrections to shard {wildcards.shard}"
    shell:
        "exec python workflow/scripts/correct_samples.py --samples {input.samples:q}"
        " --corrections {input.corrections:q} --cases {params.cases:q} --output {output.samples:q}"
        " --rejected {output.rejected:q} > {log:q} 2>&1"


rule rate_review:
    input:
        samples=shards(f"{RUN}/manifests/samples/{{shard}}.jsonl"),
        corrections=CORRECTIONS,
    output:
        review=shown(f"{RUN}/review.json", "review", "Questions", "what a review found"),
    log:
        f"{RUN}/logs/rate_review.log",
    benchmark:
        f"{RUN}/benchmarks/rate_review.tsv"
    conda:
        "../envs/rate_review.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("rate_review"),
    message:
        "Counting what the review found wrong"
    shell:
        "exec python workflow/scripts/rate_review.py --samples {input.samples:q}"
        " --corrections {input.corrections:q} --output {output.review:q} > {log:q} 2>&1"
