# The files of a case and of a shard of cases, and what says that their content is another.
DATASET_MODULE = f"suture.datasets.{CONFIG.dataset}"


def cases_of(shard):
    """The cases of a shard."""
    return CASES_OF[int(shard)]


def shards(pattern):
    """The files of all shards."""
    return expand(pattern, shard=SHARDS)


@cache
def annotation_files(case):
    """The annotation files of a case, which stand for its content in every rule that reads it."""
    if ALL_AT_ONCE:
        return [ANNOTATIONS]
    if DRAWN:
        return [path for name, path in drawn_files(case).items() if name != "video"]
    shared = annotation_digest(ADAPTER, Path(ANNOTATIONS), case) is not None
    files = [str(path) for path in ADAPTER.case_files(Path(ANNOTATIONS), case)]
    return [ancient(path) for path in files] if shared else files


@cache
def annotation_rows(*cases):
    """What an edit of a file that all cases share means for these: an edit of another case's rows, nothing."""
    if DRAWN:
        return None
    digests = [annotation_digest(ADAPTER, Path(ANNOTATIONS), case) for case in cases]
    return digest.join(*digests) if all(digests) else None


def drawn_files(case):
    phases = f"{SOURCE}/annotations/phase_annotations/{case}/{case}"
    return {
        "phases": f"{phases}_annotations_phases.csv",
        "info": f"{phases}_video.csv",
        "objects": f"{SOURCE}/annotations/segment_annotations/cases/{case}/annotations/instances.json",
        "video": f"{SOURCE}/videos/{case}.mp4",
    }


def media_files(case):
    """The videos of a case. Real ones are `ancient`: media_revision says when their content changes."""
    if CONFIG.draw:
        return [VIDEOS if ALL_AT_ONCE else f"{SOURCE}/videos/{case}.mp4"]
    return [ancient(str(path)) for path in ADAPTER.case_media(Path(ANNOTATIONS), Path(VIDEOS), case)]


def shared_files(of_case, shard):
    """The files of a shard's cases, each once: many share a spreadsheet."""
    return list(dict.fromkeys(path for case in cases_of(shard) for path in of_case(case)))


def stills_revision(shard):
    """Changes when an image of a shard does, and when one comes or goes."""
    if CONFIG.draw:
        return ""
    named = [f"{path} {media_revision(case)}" for case in cases_of(shard) for path in media_files(case)]
    return digest.join(*named)


def clips_manifest(case):
    """The manifest that a case's clips are in."""
    return f"{RUN}/manifests/clips/" + (f"shards/{shard_of(case, CONFIG.shards)}.jsonl" if STILLS else f"{case}.jsonl")


def media_revision(case):
    """Changes when, and only when, the content of one of a case's videos does."""
    if CONFIG.draw:
        return 0

    def recorded(media):
        manifest = Path(clips_manifest(case))
        clips = [json.loads(line) for line in manifest.read_text().splitlines()] if manifest.is_file() else []
        # Of a run of frames the source is their folder; its digest is no file's, so what was touched is cut again.
        return next((c["source_sha256"] for c in clips if (Path(VIDEOS) / c["source"]) in (media, media.parent)), None)

    media = ADAPTER.case_media(Path(ANNOTATIONS), Path(VIDEOS), case)
    return sum(MEDIA.revision(path, lambda path=path: recorded(path)) for path in media)


def corrections_of(shard):
    """What a review changes in a shard; an accepted answer changes nothing."""
    return [one for case in cases_of(shard) for one in CORRECTED.get(case, [])]


def final_samples(suffix=""):
    """The samples of all shards: as written, or as corrected where a review changes something in them."""
    folder = f"{RUN}/manifests/samples"
    return [f"{folder}/{shard}{'.corrected' if corrections_of(shard) else ''}{suffix}.jsonl" for shard in SHARDS]
