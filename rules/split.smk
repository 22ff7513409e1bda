# Train, validation and test: by case, unless the config asks for the published, leaky split.


rule split_dataset:
    input:
        samples=f"{RUN}/manifests/samples.jsonl",
        clips=f"{RUN}/manifests/clips.jsonl",
        assign=CONFIG.split.assign or [],
        folds=sorted(map(str, Path(CONFIG.split.official_folds).glob("*.csv"))) if CONFIG.split.official_folds else [],
    output:
        train=f"{RUN}/manifests/split/train.jsonl",
        val=f"{RUN}/manifests/split/val.jsonl",
        test=f"{RUN}/manifests/split/test.jsonl",
        split=shown(f"{RUN}/manifests/split/split.json", "split", "Data", "the split"),
    log:
        f"{RUN}/logs/split_dataset.log",
    benchmark:
        f"{RUN}/benchmarks/split_dataset.tsv"
    conda:
        "../envs/split_dataset.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        output_dir=subpath(output.split, parent=True),
        fractions=list(CONFIG.split.fractions),
        options=to_flags(CONFIG.split, leave_out=frozenset({"fractions", "official"})),
        official=f"--official {shlex.quote(str(ANNOTATIONS))}" if CONFIG.split.official else "",
        adapter=CONFIG.adapter,
        code=code("split_dataset", DATASET_MODULE),
    message:
        "Splitting into train, validation and test"
    shell:
        "exec python workflow/scripts/split_dataset.py --adapter {params.adapter} --samples {input.samples:q} --clips {input.clips:q}"
        " --fractions {params.fractions} {params.options} {params.official} --output-dir {params.output_dir:q} > {log:q} 2>&1"


# For experiments that are about some of the cases. Seconds: they share the one split.
rule select_samples:
    input:
        train=lambda w: f"{split_folder(w.experiment)}/train.jsonl",
        val=lambda w: f"{split_folder(w.experiment)}/val.jsonl",
        test=lambda w: f"{split_folder(w.experiment)}/test.jsonl",
    output:
        train=f"{RUN}/manifests/experiments/{{experiment}}/train.jsonl",
        val=f"{RUN}/manifests/experiments/{{experiment}}/val.jsonl",
        test=f"{RUN}/manifests/experiments/{{experiment}}/test.jsonl",
    log:
        f"{RUN}/logs/select_samples/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/select_samples/{{experiment}}.tsv"
    conda:
        "../envs/select_samples.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        split_dir=lambda w: split_folder(w.experiment),
        output_dir=subpath(output.train, parent=True),
        cases=lambda w: experiment(w).cases,
        code=code("select_samples"),
    message:
        "Taking the samples of {wildcards.experiment}"
    shell:
        "exec python workflow/scripts/select_samples.py --split-dir {params.split_dir:q} --cases {params.cases:q}"
        " --output-dir {params.output_dir:q} > {log:q} 2>&1"


# The same division with another fold as the test set, for experiments that are repeated over folds.
rule split_fold:
    input:
        samples=f"{RUN}/manifests/samples.jsonl",
        clips=f"{RUN}/manifests/clips.jsonl",
        folds=sorted(map(str, Path(CONFIG.split.official_folds).glob("*.csv"))) if CONFIG.split.official_folds else [],
    output:
        train=f"{RUN}/manifests/folds/{{fold}}/train.jsonl",
        val=f"{RUN}/manifests/folds/{{fold}}/val.jsonl",
        test=f"{RUN}/manifests/folds/{{fold}}/test.jsonl",
        split=f"{RUN}/manifests/folds/{{fold}}/split.json",
    log:
        f"{RUN}/logs/split_fold/{{fold}}.log",
    benchmark:
        f"{RUN}/benchmarks/split_fold/{{fold}}.tsv"
    conda:
        "../envs/split_fold.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        output_dir=subpath(output.split, parent=True),
        fractions=list(CONFIG.split.fractions),
        options=to_flags(CONFIG.split, leave_out=frozenset({"fractions", "fold", "official"})),
        adapter=CONFIG.adapter,
        code=code("split_dataset", DATASET_MODULE),
    message:
        "Splitting with fold {wildcards.fold} as the test set"
    shell:
        "exec python workflow/scripts/split_dataset.py --adapter {params.adapter} --samples {input.samples:q} --clips {input.clips:q}"
        " --fractions {params.fractions} {params.options} --fold {wildcards.fold} --output-dir {params.output_dir:q}"
        " > {log:q} 2>&1"


# Nothing is trained or scored before this is made: it stops the run where two splits share what they must not.
rule check_leaks:
    input:
        train=f"{RUN}/manifests/{{split}}/train.jsonl",
        val=f"{RUN}/manifests/{{split}}/val.jsonl",
        test=f"{RUN}/manifests/{{split}}/test.jsonl",
        split=f"{RUN}/manifests/{{split}}/split.json",
        clips=f"{RUN}/manifests/clips.jsonl",
        frames=shards(f"{RUN}/cache/frames/{{{{frames}}}}/shard-{{shard}}.jsonl"),
        arrays=[ancient(path) for path in shards(f"{RUN}/cache/frames/{{{{frames}}}}/shard-{{shard}}.npy")],
    output:
        leaks=f"{RUN}/manifests/leaks/{{split}}/{{frames}}.json",
    log:
        f"{RUN}/logs/check_leaks/{{split}}/{{frames}}.log",
    benchmark:
        f"{RUN}/benchmarks/check_leaks/{{split}}/{{frames}}.tsv"
    conda:
        "../envs/check_leaks.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        options=to_flags(CONFIG.leaks, leave_out=frozenset({"datasets"})),
        datasets=CONFIG.leaks.datasets or [CONFIG.dataset],
        weights=lambda w: first_weights(w.frames),
        code=code("check_leaks"),
        known=digest.text(Path(workflow.basedir, "workflow/scripts/suture/known_overlaps.csv")),
    message:
        "Looking for leaks between the splits ({wildcards.split}, {wildcards.frames})"
    shell:
        "exec python workflow/scripts/check_leaks.py --train {input.train:q} --val {input.val:q} --test {input.test:q}"
        " --split-info {input.split:q} --clips {input.clips:q} --frames-cache {input.frames:q} {params.options}"
        " --dataset {params.datasets:q} --weights {params.weights:q} --output {output.leaks:q} > {log:q} 2>&1"
