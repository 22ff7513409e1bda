# What the rules ask of an experiment: its steps and jobs, its base model, its data, its caches.


def experiment(wildcards):
    return ASKED[wildcards.experiment].experiment


def family_module(wildcards):
    return f"suture.models.{experiment(wildcards).family}"


@cache
def borders(name):
    """The last step of each job of an experiment; none where `snakemake plan` must be asked first."""
    of = ASKED[name].of
    train = CONFIG.experiments[of].train
    if train.is_open:
        return []
    plan = SETTLED.plans.get(of)
    return plan.borders if plan else schedule.borders(train.max_steps, train.steps_per_job)


def segments(name):
    """The number of jobs that an experiment's steps are divided into."""
    return len(borders(name))


def last_step(name, segment):
    """The step that a segment comes to."""
    if not 0 < segment <= segments(name):
        raise WorkflowError(f"experiment {name} has no segment {segment}; `snakemake plan` settles its steps and jobs")
    return borders(name)[segment - 1]


def base_of(base):
    """An experiment with this base model."""
    return next(one for one in CONFIG.experiments.values() if one.base_key == base)


def base_folder(base):
    """The folder of a base model by its key: fetched, or what another experiment made."""
    before = base_of(base).init_from
    return f"{RUN}/models/{before}" if before else f"{RUN}/models/base/{base}"


def root_of(name):
    """The experiment at the root of `init_from`: whose base model is no other experiment's."""
    while (before := CONFIG.experiments[name].init_from) is not None:
        name = before
    return name


def first_weights(frames):
    """The published or local models that the experiments with these frames begin with, at the root of `init_from`."""
    shown = [name for name, one in CONFIG.experiments.items() if one.frames.key == frames]
    return sorted({CONFIG.experiments[root_of(name)].model for name in shown})


def config_of(name):
    """The configuration of an experiment and of those that it starts from."""
    chain = [name]
    while (before := CONFIG.experiments[chain[-1]].init_from) is not None:
        chain.append(before)
    return {**WRITTEN, "experiments": {one: WRITTEN["experiments"][one] for one in chain}}


def adapter_base(name):
    """The base model that an experiment's adapters speak through: none where they are merged into it, or none answer."""
    one = ASKED[name].experiment
    if one.merge or ASKED[name].model not in (name, ASKED[name].of):
        return []
    return base_folder(one.base_key)


def split_name(name):
    """The split of an experiment: the run's, or that of its fold."""
    folds = ASKED[name].experiment.folds
    return f"folds/{folds[0]}" if folds else "split"


def split_folder(name):
    """Where the split of an experiment lies: the run's, or that of its fold."""
    return f"{RUN}/manifests/{split_name(name)}"


def chunks_of(name):
    """The numbers of the jobs that an experiment's questions are divided among; none where one job answers all."""
    count = ASKED[name].experiment.predict.num_chunks
    return range(count) if count > 1 else ()


def named(names):
    """A pattern that these names match and no other."""
    return "|".join(map(re.escape, names)) or "(?!)"


def samples_of(name, split):
    """The samples of a split that an experiment is about; what it is compared with is about the same."""
    if ASKED[name].experiment.cases is None:
        return f"{split_folder(name)}/{split}.jsonl"
    return f"{RUN}/manifests/experiments/{ASKED[name].of}/{split}.jsonl"


def baseline_answers(name):
    """The predictions that an experiment's numbers stand beside, by the name of the baseline."""
    found = {key.removeprefix(f"{name}."): key for key, one in ASKED.items() if one.of == name and key != name}
    return {baseline: f"{RUN}/predictions/{key}.jsonl" for baseline, key in found.items()}


def report_scores_of(name):
    """What models found in an experiment's reports; nothing where none is given, or it writes no reports."""
    wanted = CONFIG.report_models.paths and ASKED[name].experiment.task == "report"
    return f"{RUN}/metrics/reports/{name}.jsonl" if wanted else []


def baseline_flags(name):
    """The same as flags of score.py."""
    answers = baseline_answers(name)
    return " ".join(["--baseline", *(f"{key}={path}" for key, path in answers.items())]) if answers else ""


def model_files(model):
    """The files of a model that lies here: a checkpoint, or a folder's own."""
    if "/" not in model:
        return []
    if model.endswith(CHECKPOINT_FILES):
        return [model]
    return sorted(map(str, Path(model).glob("*.*")))


def label_flags(wildcards, flag="--labels"):
    """The classes of an experiment in their order, as a flag; nothing where they are those of training."""
    labels = experiment(wildcards).labels
    return f"{flag} {shlex.join(labels)}" if labels else ""


def drawn_in_test(wildcards):
    """Where it is written down which frames a model was asked about, as a flag; of chunks the first writes all."""
    name = wildcards.experiment
    if name not in SAMPLED or wildcards.get("chunk", "0") != "0":
        return ""
    one = CONFIG.experiments[name]
    where = f"{RUN}/tracking/{name}/sampling_indices"
    return f"--sampling-indices {where}/sampling_indices_{name}_{one.frames.test_sampling}_{one.predict.split}.csv"


def clip_folders(cases):
    """The clips themselves, of jobs that read them: deleted ones are cut again. Their content is in the manifests."""
    if STILLS:
        return [ancient(f"{RUN}/clips/shard-{shard}") for shard in sorted({shard_of(c, CONFIG.shards) for c in cases})]
    return [ancient(f"{RUN}/clips/{case}") for case in cases]


def frames_settings(wildcards):
    """The frame settings that a cache folder is named after."""
    return next(one.frames for one in CONFIG.experiments.values() if one.frames.key == wildcards.frames)


def frames_cache(name):
    """The manifests of an experiment's frame cache."""
    return shards(f"{RUN}/cache/frames/{ASKED[name].experiment.frames.key}/shard-{{shard}}.jsonl")


def frames_arrays(name):
    """The arrays beside those manifests: `make clean-cache` deletes them, a job that needs them brings them back."""
    return [ancient(path.replace(".jsonl", ".npy")) for path in frames_cache(name)]


def leaks_of(name):
    """What the leak gate found among the clips of an experiment; it says whether its scores are leaky."""
    one = ASKED[name].experiment
    return f"{RUN}/manifests/leaks/{split_name(name)}/{one.frames.key}.json"


def features_cache(name, base=None):
    """The manifests of an experiment's cached features: none where it runs its vision tower at each step.

    ``base`` is another experiment, whose base model's tower made them.
    """
    one = ASKED[name].experiment
    key = (CONFIG.experiments[base] if base else one).base_key
    folder = f"{RUN}/cache/features/{key}/{one.frames.key}/{arithmetic(one.train).key}"
    return shards(f"{folder}/shard-{{shard}}.jsonl") if one.cache_features else []


def features_arrays(name, base=None):
    """The arrays beside those manifests, as :func:`frames_arrays`."""
    return [ancient(path.replace(".jsonl", ".npy")) for path in features_cache(name, base)]


def cache_files(name):
    """All that is cached for an experiment."""
    return frames_cache(name) + frames_arrays(name) + features_cache(name) + features_arrays(name)


def arithmetic_settings(wildcards):
    """How the vision tower is computed for a cache folder of this name."""
    every = (arithmetic(one.train) for one in CONFIG.experiments.values())
    return next(one for one in every if one.key == wildcards.arithmetic)


def asked_of_queue(name):
    """What a training job gets, by the profile or its rule; nothing where it is computed."""
    found = workflow.get_rule("train_segment").resources.get(name)
    return getattr(found, "raw", None)


def queue_flags():
    """The limits of a training job, as flags of plan.py."""
    flags = {"runtime": asked_of_queue("runtime"), "partition": asked_of_queue("slurm_partition")}
    resources = {name: asked_of_queue(name) for name in ("gpu", "gres", "slurm_extra")}
    flags["gpus"] = profiles.gpus({name: value for name, value in resources.items() if value is not None})
    return " ".join(f"--{name} {value}" for name, value in flags.items() if value)
