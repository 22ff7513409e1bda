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
    # Shards are decoded beside each other. Where there are few of them and long ones: --set-threads cache_frames=4
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        clips_dir=lambda w: f"{RUN}/clips",
        sampling=lambda w: frames_settings(w).cached,
        decoding=lambda w: frames_settings(w).decoding,
        size=lambda w: frames_settings(w).size,
        max_rejected=CONFIG.max_rejected,
        code=code("cache_frames"),
    message:
        "Caching the frames of shard {wildcards.shard} ({wildcards.frames})"
    shell:
        "exec python workflow/scripts/cache_frames.py --clips {input.clips:q} --samples {input.samples:q}"
        " --clips-dir {params.clips_dir:q} {params.sampling} --size {params.size} --max-rejected {params.max_rejected}"
        " {params.decoding} --workers {threads} --memory {resources.mem_mb}"
        " --output {output.manifest:q} --array {output.array:q} --rejected {output.rejected:q} > {log:q} 2>&1"


# What the vision tower makes of those frames, for experiments that leave it as it is.
rule cache_features:
    input:
        base=lambda w: base_folder(w.base),
        frames=f"{RUN}/cache/frames/{{frames}}/shard-{{shard}}.jsonl",
        frames_array=ancient(f"{RUN}/cache/frames/{{frames}}/shard-{{shard}}.npy"),
    output:
        manifest=f"{RUN}/cache/features/{{base}}/{{frames}}/{{arithmetic}}/shard-{{shard}}.jsonl",
        array=f"{RUN}/cache/features/{{base}}/{{frames}}/{{arithmetic}}/shard-{{shard}}.npy",
    log:
        f"{RUN}/logs/cache_features/{{base}}/{{frames}}/{{arithmetic}}/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/cache_features/{{base}}-{{frames}}-{{arithmetic}}-{{shard}}.tsv"
    conda:
        "../envs/cache_features.yaml"
    resources:
        mem_mb=16000,
        runtime=120,
    params:
        family=lambda w: base_of(w.base).family,
        arithmetic=lambda w: arithmetic_settings(w).flags,
        code=lambda w: code("cache_features", f"suture.models.{base_of(w.base).family}"),
    message:
        "Caching the features of shard {wildcards.shard} ({wildcards.base}, {wildcards.frames}, {wildcards.arithmetic})"
    shell:
        "exec python workflow/scripts/cache_features.py --family {params.family} --model {input.base:q}"
        " --frames-cache {input.frames:q} {params.arithmetic} --output {output.manifest:q} --array {output.array:q}"
        " > {log:q} 2>&1"
