"""Lays out the dataset folder in the publisher's final structure, by links; nothing is moved.

  organize_videos.py --split-dir split/ --clips clips.jsonl --clips-dir clips/ --objects case_objects.json
                     --qa qa_pairs_without_idle.json --annotations DIR --output-dir dataset/

Under DATASET/: annotations/, videos/{train,val,test,unlabelled}/, case_objects.json,
qa_pairs_without_idle.json, {train,val,test}_qa_pairs.json, and videos.jsonl, which
says where each clip lies, with its sha256. Built aside and renamed; may be run again.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from pathlib import Path

from suture import files, organising, records
from suture.cli import Parser, run
from suture.errors import ConfigError
from suture.records import Clip
from suture.splitting import SPLITS

QUESTIONS = "qa_pairs_without_idle.json"
OBJECTS = "case_objects.json"
# Snakemake leaves the last one in folders that a rule makes.
NAMES = (
    {"annotations", "videos", "videos.jsonl", OBJECTS, QUESTIONS}
    | {f"{name}_qa_pairs.json" for name in SPLITS}
    | {".snakemake_timestamp"}
)


def parser() -> Parser:
    words = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--split-dir", type=Path, required=True, help="folder made by split_dataset.py")
    words.add_argument("--clips", type=Path, required=True, help="clips manifest (JSON Lines)")
    words.add_argument("--clips-dir", type=Path, required=True, help="folder that the clips' paths start from")
    words.add_argument("--objects", type=Path, help="case_objects.json")
    words.add_argument("--qa", type=Path, help="qa_pairs_without_idle.json")
    words.add_argument("--annotations", type=Path, help="folder of the annotation files, or the one file")
    words.add_argument(
        "--export",
        choices=["exact", "copy", "link"],
        default="exact",
        help="exact: clips whose file starts before their first wanted frame or ends after the last are re-encoded, "
        "the others linked; copy: stream copies; link: links (default: exact)",
    )
    words.add_argument(
        "--exports-dir",
        type=Path,
        help="keeps re-encoded clips, all that were ever made (default: exports beside the output, only those in use)",
    )
    words.add_argument("--workers", type=int, default=1, help="clips re-encoded at once (default: 1)")
    words.add_argument("--output-dir", type=Path, required=True, help="the dataset folder; replaced as a whole")
    return words


def main(args: argparse.Namespace) -> None:
    final: Path = args.output_dir
    if args.workers < 1:
        raise ConfigError("--workers must be 1 or more")
    strangers = sorted(path.name for path in final.iterdir() if path.name not in NAMES) if final.is_dir() else []
    if strangers:
        raise ConfigError(
            f"{final} is replaced as a whole and holds {strangers[0]!r}, which is no part of a dataset folder",
            fix="name another --output-dir, or move that out of it",
        )
    clips = records.read(args.clips, Clip)
    records.check_unique([clip.id for clip in clips], what="clip", where=args.clips)
    splits = organising.read_splits(args.split_dir)
    found = organising.places(splits, clips, args.clips_dir)
    exports_dir = args.exports_dir or final.parent / "exports"
    with files.atomic_dir(final) as target:
        rows = organising.lay_out_videos(
            found, target, final, export=args.export, exports_dir=exports_dir, workers=args.workers
        )
        if args.annotations is not None:
            organising.link_annotations(args.annotations, target, final)
        for source, name in ((args.objects, OBJECTS), (args.qa, QUESTIONS)):
            if source is not None:
                files.read_json(source)
                shutil.copyfile(source, target / name)
        organising.write_questions(splits, found, target)
        files.write_jsonl(target / "videos.jsonl", rows)
    # A folder that the user names may serve other dataset folders too.
    removed = organising.remove_old_exports(found, rows, exports_dir) if args.exports_dir is None else 0
    counts = Counter(row["split"] for row in rows)
    made = Counter(row["made"] for row in rows)
    print(f"{final}: " + ", ".join(f"{name} {counts[name]}" for name in (*SPLITS, organising.UNLABELLED)))
    print("clips: " + ", ".join(f"{made[name]} {name}" for name in sorted(made)))
    if removed:
        print(f"{exports_dir}: {removed} exports that no clip needs any more were removed")


if __name__ == "__main__":
    run(main, parser())
