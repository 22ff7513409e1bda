# Frames are decoded once for all experiments that see them at the same size and times.


rule cache_frames:
    input:
        clips=f"{RUN}/manifests/clips/shards/{{shard}}.jsonl",
        samples=f"{RUN}/manifests/samples/{{shard}}.jsonl",
        media=lambda w: clip_folders(cases_of(w.shard)),
    output:
        manifest=f"{RUN}/cache/frames/{{frames}}/shard-{{shard}}.jsonl",
        array=f"{RUN}/cache/frames/{{frames}}/shard-{{shard}}.npy",
        rejected=f"{RUN}/cache/frames/{{frames}}/shard-{{shard}}.rejected.jsonl",
    log:
        f"{RUN}/logs/cache_frames/{{frames}}/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/cache_frames/{{frames}}-{{shard}}.tsv"
    conda:
        "../envs/cache_frames.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        clips_dir=lambda w: f"{RUN}/clips",
        sampling=lambda w: frames_settings(w).sampling,
        size=lambda w: frames_settings(w).size,
        max_rejected=CONFIG.max_rejected,
        code=code("cache_frames"),
    message:
        "Caching the frames of shard {wildcards.shard} ({wildcards.frames})"
    shell:
        "exec python workflow/scripts/cache_frames.py --clips {input.clips:q} --samples {input.samples:q}"
        " --clips-dir {params.clips_dir:q} {params.sampling} --size {params.size} --max-rejected {params.max_rejected}"
        " --output {output.manifest:q} --array {output.array:q} --rejected {output.rejected:q} > {log:q} 2>&1"
