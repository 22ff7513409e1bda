# Publisher's files to clips, objects and the dataset folder.

if CONFIG.draw and CONFIG.draw.kind == "chest":

    rule draw_chests:
        output:
            annotations=directory(ANNOTATIONS),
            images=directory(VIDEOS),
        log:
            f"{RUN}/logs/draw_chests.log",
        benchmark:
            f"{RUN}/benchmarks/draw_chests.tsv"
        conda:
            "../envs/draw_chests.yaml"
        resources:
            mem_mb=1000,
            runtime=30,
        params:
            options=to_flags(CONFIG.draw, only=frozenset({"seed", "size", "images"})),
            code=code("draw_chests"),
        message:
            "Drawing chest radiographs"
        shell:
            "exec python workflow/scripts/draw_chests.py {params.options}"
            " --annotations {output.annotations:q} --output {output.images:q} > {log:q} 2>&1"

elif CONFIG.draw and CONFIG.draw.kind == "ultrasound":

    rule draw_ultrasound:
        output:
            annotations=directory(ANNOTATIONS),
            images=directory(VIDEOS),
        log:
            f"{RUN}/logs/draw_ultrasound.log",
        benchmark:
            f"{RUN}/benchmarks/draw_ultrasound.tsv"
        conda:
            "../envs/draw_ultrasound.yaml"
        resources:
            mem_mb=1000,
            runtime=30,
        params:
            options=to_flags(CONFIG.draw, only=frozenset({"seed", "size", "images"})),
            categories=CONFIG.categories,
            code=code("draw_ultrasound"),
        message:
            "Drawing ultrasound images"
        shell:
            "exec python workflow/scripts/draw_ultrasound.py --categories {params.categories:q} {params.options}"
            " --annotations {output.annotations:q} --output {output.images:q} > {log:q} 2>&1"

elif CONFIG.draw and CONFIG.draw.kind == "cholecystectomy":

    rule draw_cholecystectomy:
        output:
            annotations=directory(ANNOTATIONS),
            images=directory(VIDEOS),
        log:
            f"{RUN}/logs/draw_cholecystectomy.log",
        benchmark:
            f"{RUN}/benchmarks/draw_cholecystectomy.tsv"
        conda:
            "../envs/draw_cholecystectomy.yaml"
        resources:
            mem_mb=1000,
            runtime=30,
        params:
            options=to_flags(CONFIG.draw, only=frozenset({"seed", "size", "images"})),
            cases=CASES,
            code=code("draw_cholecystectomy"),
        message:
            "Drawing cholecystectomies"
        shell:
            "exec python workflow/scripts/draw_cholecystectomy.py --cases {params.cases:q} {params.options}"
            " --annotations {output.annotations:q} --output {output.images:q} > {log:q} 2>&1"

elif CONFIG.draw and CONFIG.draw.kind == "endoscopy":

    rule draw_endoscopy:
        output:
            datasets=directory(ANNOTATIONS),
        log:
            f"{RUN}/logs/draw_endoscopy.log",
        benchmark:
            f"{RUN}/benchmarks/draw_endoscopy.tsv"
        conda:
            "../envs/draw_endoscopy.yaml"
        resources:
            mem_mb=1000,
            runtime=30,
        params:
            options=to_flags(CONFIG.draw, only=frozenset({"seed", "size", "fps", "clips"})),
            cases=CASES,
            code=code("draw_endoscopy"),
        message:
            "Drawing endoscopies"
        shell:
            "exec python workflow/scripts/draw_endoscopy.py --cases {params.cases:q} {params.options}"
            " --output {output.datasets:q} > {log:q} 2>&1"

elif DRAWN:

    rule draw_case:
        output:
            phases=drawn_files("{case}")["phases"],
            info=drawn_files("{case}")["info"],
            objects=drawn_files("{case}")["objects"],
            video=drawn_files("{case}")["video"],
        log:
            f"{RUN}/logs/draw_case/{{case}}.log",
        benchmark:
            f"{RUN}/benchmarks/draw_case/{{case}}.tsv"
        conda:
            "../envs/draw_case.yaml"
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            options=to_flags(CONFIG.draw, only=frozenset({"seed", "fps"})),
            size=[CONFIG.draw.size, CONFIG.draw.size],
            code=code("draw_case"),
        message:
            "Drawing the surgery {wildcards.case}"
        shell:
            "exec python workflow/scripts/draw_case.py --case {wildcards.case:q} --size {params.size} {params.options}"
            " --phases {output.phases:q} --video-info {output.info:q} --objects {output.objects:q}"
            " --video {output.video:q} > {log:q} 2>&1"

elif CONFIG.draw:

    rule draw_annotations:
        input:
            annotations=lambda w: annotation_files(w.case),
        output:
            video=f"{SOURCE}/videos/{{case}}.mp4",
        log:
            f"{RUN}/logs/draw_annotations/{{case}}.log",
        benchmark:
            f"{RUN}/benchmarks/draw_annotations/{{case}}.tsv"
        conda:
            "../envs/draw_annotations.yaml"
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            like=lambda w: ANNOTATIONS,
            options=to_flags(CONFIG.draw, only=frozenset({"seed", "fps"})),
            size=[CONFIG.draw.size, CONFIG.draw.size],
            code=code("draw_case", DATASET_MODULE),
        message:
            "Drawing the annotations of {wildcards.case}"
        shell:
            "exec python workflow/scripts/draw_case.py --case {wildcards.case:q} --size {params.size} {params.options}"
            " --like {params.like:q} --video {output.video:q} > {log:q} 2>&1"


if STILLS:

    # Thousands of images: a job takes a shard of them, and what is theirs is in one folder.
    rule copy_stills:
        input:
            annotations=lambda w: shared_files(annotation_files, w.shard),
            images=lambda w: shared_files(media_files, w.shard) if DRAWN else [],
        output:
            clips=f"{RUN}/manifests/clips/shards/{{shard}}.jsonl",
            rejected=f"{RUN}/manifests/clips/shards/{{shard}}.rejected.jsonl",
            media=directory(f"{RUN}/clips/shard-{{shard}}"),
        log:
            f"{RUN}/logs/copy_stills/{{shard}}.log",
        benchmark:
            f"{RUN}/benchmarks/copy_stills/{{shard}}.tsv"
        conda:
            "../envs/copy_stills.yaml"
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            annotations=lambda w: ANNOTATIONS,
            videos=lambda w: VIDEOS,
            adapter=CONFIG.adapter,
            clips_dir=lambda w: f"{RUN}/clips",
            cases=lambda w: cases_of(w.shard),
            within=subpath(output.media, basename=True),
            media=lambda w: stills_revision(w.shard),
            rows=lambda w: annotation_rows(*cases_of(w.shard)),
            code=code("cut_videos", DATASET_MODULE),
        message:
            "Copying the images of shard {wildcards.shard}"
        shell:
            "exec python workflow/scripts/cut_videos.py --adapter {params.adapter}"
            " --annotations {params.annotations:q} --videos {params.videos:q} --cases {params.cases:q}"
            " --clips-dir {params.clips_dir:q} --within {params.within:q} --output {output.clips:q}"
            " --rejected {output.rejected:q} > {log:q} 2>&1"

else:

    rule cut_videos:
        input:
            annotations=lambda w: annotation_files(w.case),
            videos=lambda w: media_files(w.case),
        output:
            clips=f"{RUN}/manifests/clips/{{case}}.jsonl",
            rejected=f"{RUN}/manifests/clips/{{case}}.rejected.jsonl",
            media=directory(f"{RUN}/clips/{{case}}"),
        log:
            f"{RUN}/logs/cut_videos/{{case}}.log",
        benchmark:
            f"{RUN}/benchmarks/cut_videos/{{case}}.tsv"
        conda:
            "../envs/cut_videos.yaml"
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            annotations=lambda w: ANNOTATIONS,
            videos=lambda w: VIDEOS,
            adapter=CONFIG.adapter,
            clips_dir=lambda w: f"{RUN}/clips",
            options=to_flags(CONFIG.cut),
            revision=lambda w: media_revision(w.case),
            rows=lambda w: annotation_rows(w.case),
            code=code("cut_videos", DATASET_MODULE),
        message:
            "Cutting {wildcards.case} into clips"
        shell:
            "exec python workflow/scripts/cut_videos.py --adapter {params.adapter}"
            " --annotations {params.annotations:q} --videos {params.videos:q} --cases {wildcards.case:q}"
            " {params.options} --clips-dir {params.clips_dir:q} --output {output.clips:q}"
            " --rejected {output.rejected:q} > {log:q} 2>&1"

    localrules:
        collect_clips,

    rule collect_clips:
        input:
            clips=lambda w: expand(f"{RUN}/manifests/clips/{{case}}.jsonl", case=cases_of(w.shard)),
            rejected=lambda w: expand(f"{RUN}/manifests/clips/{{case}}.rejected.jsonl", case=cases_of(w.shard)),
        output:
            clips=f"{RUN}/manifests/clips/shards/{{shard}}.jsonl",
            rejected=f"{RUN}/manifests/clips/shards/{{shard}}.rejected.jsonl",
        log:
            f"{RUN}/logs/collect_clips/{{shard}}.log",
        benchmark:
            f"{RUN}/benchmarks/collect_clips/{{shard}}.tsv"
        conda:
            "../envs/collect_clips.yaml"
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            code=code("collect_clips"),
        message:
            "Collecting the clips of shard {wildcards.shard}"
        shell:
            "exec python workflow/scripts/collect_clips.py --clips {input.clips:q} --rejected {input.rejected:q}"
            " --output {output.clips:q} --output-rejected {output.rejected:q} > {log:q} 2>&1"


rule describe_objects:
    input:
        annotations=lambda w: sorted({path for case in cases_of(w.shard) for path in annotation_files(case)}),
        clips=f"{RUN}/manifests/clips/shards/{{shard}}.jsonl",
    output:
        objects=f"{RUN}/manifests/objects/{{shard}}.json",
        rejected=f"{RUN}/manifests/objects/{{shard}}.rejected.jsonl",
    log:
        f"{RUN}/logs/describe_objects/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/describe_objects/{{shard}}.tsv"
    conda:
        "../envs/describe_objects.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        annotations=lambda w: ANNOTATIONS,
        adapter=CONFIG.adapter,
        cases=lambda w: cases_of(w.shard),
        rows=lambda w: annotation_rows(*cases_of(w.shard)),
        code=code("describe_objects", DATASET_MODULE),
    message:
        "Describing the objects in shard {wildcards.shard}"
    shell:
        "exec python workflow/scripts/describe_objects.py --adapter {params.adapter}"
        " --annotations {params.annotations:q} --cases {params.cases:q} --clips {input.clips:q}"
        " --mode default --output {output.objects:q} --rejected {output.rejected:q} > {log:q} 2>&1"


rule gather_data:
    input:
        clips=shards(f"{RUN}/manifests/clips/shards/{{shard}}.jsonl"),
        objects=shards(f"{RUN}/manifests/objects/{{shard}}.json"),
        samples=final_samples(),
        rejected=shards(f"{RUN}/manifests/clips/shards/{{shard}}.rejected.jsonl")
        + shards(f"{RUN}/manifests/objects/{{shard}}.rejected.jsonl")
        + shards(f"{RUN}/manifests/samples/{{shard}}.rejected.jsonl")
        + [path for path in final_samples(".rejected") if ".corrected." in path],
    output:
        clips=f"{RUN}/manifests/clips.jsonl",
        objects=f"{RUN}/case_objects.json",
        samples=f"{RUN}/manifests/samples.jsonl",
        qa=f"{RUN}/qa_pairs_without_idle.json",
        rejected=shown(f"{RUN}/manifests/rejected.json", "rejected", "Data", "what was left out"),
    log:
        f"{RUN}/logs/gather_data.log",
    benchmark:
        f"{RUN}/benchmarks/gather_data.tsv"
    conda:
        "../envs/gather_data.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        max_rejected=CONFIG.max_rejected,
        code=code("gather_data"),
    message:
        "Gathering clips, objects and questions of all shards"
    shell:
        "exec python workflow/scripts/gather_data.py --clips {input.clips:q} --objects {input.objects:q}"
        " --samples {input.samples:q} --rejected {input.rejected:q} --max-rejected {params.max_rejected}"
        " --output-clips {output.clips:q} --output-objects {output.objects:q}"
        " --output-samples {output.samples:q} --output-qa {output.qa:q}"
        " --output-rejected {output.rejected:q} > {log:q} 2>&1"


rule organize_videos:
    input:
        split=f"{RUN}/manifests/split/split.json",
        samples=expand(f"{RUN}/manifests/split/{{name}}.jsonl", name=["train", "val", "test"]),
        clips=f"{RUN}/manifests/clips.jsonl",
        objects=f"{RUN}/case_objects.json",
        qa=f"{RUN}/qa_pairs_without_idle.json",
        media=clip_folders(CASES),
    output:
        dataset=directory(f"{RUN}/dataset"),
    log:
        f"{RUN}/logs/organize_videos.log",
    benchmark:
        f"{RUN}/benchmarks/organize_videos.tsv"
    conda:
        "../envs/organize_videos.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        annotations=lambda w: ANNOTATIONS,
        split_dir=subpath(input.split, parent=True),
        clips_dir=lambda w: f"{RUN}/clips",
        export=CONFIG.export,
        code=code("organize_videos"),
    message:
        "Laying out the dataset folder"
    shell:
        "exec python workflow/scripts/organize_videos.py --split-dir {params.split_dir:q} --clips {input.clips:q}"
        " --clips-dir {params.clips_dir:q} --objects {input.objects:q} --qa {input.qa:q}"
        " --annotations {params.annotations:q} --export {params.export} --workers {threads}"
        " --output-dir {output.dataset:q} > {log:q} 2>&1"
