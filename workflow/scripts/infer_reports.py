"""Writes reports about images, in chunks: one table of predicted ones, one of the right ones, in the same order.

Run as:
    python workflow/scripts/infer_reports.py --num-chunks 8 --model-name models/llava-med-report \\
        --image-folder images --question-file test.json --answers-file-pred pred.csv --answers-file-gt gt.csv

The question file is LLaVA's JSON or any other that the adapter `conversations`
reads; study_id is a row's id. Each finished chunk is kept beside the table
until all are there: started again, this goes on. --chunk K makes one chunk
alone, for a job a GPU; whoever finishes last, or the next start, writes the
tables. Any number of chunks does, more than there are rows too. Greedy unless
--temperature is above 0; draws then depend on --seed and the row, not on chunks.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
from pathlib import Path
from typing import cast

from suture import free_media, libraries, records, registry, report_tables
from suture.asked_model import Chosen, choose, load
from suture.cli import Parser, run, share
from suture.config.flags import add_flags, from_args
from suture.config.generation import Generation
from suture.datasets.conversations import rows
from suture.errors import InputError
from suture.files import inside, sha256_file, sha256_text
from suture.records import Prediction, Sample


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model-name", required=True, metavar="DIR|ID", help="model folder, or hub id with --revision")
    p.add_argument("--revision", metavar="COMMIT", help="commit of a hub model")
    p.add_argument("--adapter", metavar="DIR", help="LoRA adapter to put on the model")
    p.add_argument("--question-file", type=Path, required=True, metavar="FILE", help="conversations about images")
    p.add_argument("--image-folder", type=Path, required=True, metavar="DIR", help="root of the images")
    p.add_argument("--answers-file-pred", type=Path, required=True, metavar="FILE", help="CSV of predicted reports")
    p.add_argument("--answers-file-gt", type=Path, required=True, metavar="FILE", help="CSV of gold reports")
    p.add_argument("--num-chunks", type=int, default=1, metavar="N", help="parts the rows are divided into (1)")
    p.add_argument("--chunk", type=int, metavar="K", help="make this part alone, from 0")
    p.add_argument("--batch-size", type=int, default=16, metavar="N", help="reports written at once (16)")
    p.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="size of the images in pixels (as in training)"
    )
    p.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (1)")
    p.add_argument("--workers", type=int, default=1, metavar="N", help="processes that decode images (1)")
    p.add_argument(
        "--max-rejected", type=share, default=0.1, metavar="SHARE", help="largest share of unusable rows (0.1)"
    )
    add_flags(p, Generation)
    return p


def main(args: argparse.Namespace) -> None:
    """Makes the chunks that are missing, and the tables once all are there."""
    if args.num_chunks < 1 or (args.chunk is not None and not 0 <= args.chunk < args.num_chunks):
        raise InputError(f"--chunk {args.chunk} does not exist: with --num-chunks {args.num_chunks} it is 0 to N - 1")
    if min(args.batch_size, args.threads, args.workers) < 1:
        raise InputError("--batch-size, --threads and --workers must be above 0")
    generation = cast(Generation, from_args(args, Generation))
    samples, left_out = _samples(args.question_file)
    if len(left_out) > args.max_rejected * (len(samples) + len(left_out)):
        raise InputError(f"{len(left_out)} rows cannot be used", where=left_out[0], fix="or raise --max-rejected")
    chosen = choose(args.model_name, revision=args.revision, adapter=args.adapter)
    about = [sha256_file(args.question_file), str(chosen.where), args.adapter, args.num_chunks, args.size, generation]
    folder = args.answers_file_pred.with_name(f".{args.answers_file_pred.name}.chunks-{sha256_text(repr(about))[:12]}")
    parts = [folder / f"{number}.jsonl" for number in range(args.num_chunks)]
    wanted = range(args.num_chunks) if args.chunk is None else [args.chunk]
    missing = [number for number in wanted if not parts[number].is_file()]
    print(f"{len(samples)} rows, {len(left_out)} left out; {len(wanted) - len(missing)} chunks were there", flush=True)
    if missing:
        _make(args, chosen, generation, samples, {number: parts[number] for number in missing})
    if not all(path.is_file() for path in parts):
        print(f"{sum(path.is_file() for path in parts)} of {args.num_chunks} chunks are there")
        return
    found = report_tables.merged(parts, [records.read(path, Prediction) for path in parts])
    report_tables.write(found, args.answers_file_pred, args.answers_file_gt)
    shutil.rmtree(folder)
    print(f"{len(found)} reports, {sum(one.truncated for one in found)} cut off at {generation.max_new_tokens} tokens")


def _samples(path: Path) -> tuple[list[tuple[Sample, str]], list[str]]:
    """Reads the questions in the file's order, each with its image, and what cannot be asked."""
    samples: list[tuple[Sample, str]] = []
    left_out: list[str] = []
    for one in rows.read(path):
        if isinstance(one, rows.Unusable):
            left_out.append(f"{path.name}, row {one.index}: {one.detail}")
        elif one.beside or len(one.turns) > 1:
            left_out.append(f"{path.name}, row {one.index}: more than one image or question")
        else:
            samples.append((Sample(id=one.id, case=one.id, clip=one.id, phase=one.label, turns=one.turns), one.image))
    if not samples:
        raise InputError("no question about an image", where=path)
    records.check_unique([sample.id for sample, _ in samples], what="row", where=path)
    return samples, left_out


def _make(
    args: argparse.Namespace,
    chosen: Chosen,
    generation: Generation,
    samples: list[tuple[Sample, str]],
    parts: dict[int, Path],
) -> None:
    known = registry.literals("model family", chosen.family).get("PUBLISHED", {})
    trained = chosen.card.get("frames")
    settings = free_media.frame_settings(
        chosen.card,
        count=None if trained else 1,
        fps=None,
        size=args.size or (None if trained else list(known.get("size", ()))) or None,
        where=chosen.where,
    )
    libraries.prepare(threads=args.threads)
    # Not before: they import torch.
    from suture.asking import ask, most_frames

    model = load(chosen, None)
    model.check_size(settings.height, settings.width)
    most = most_frames(model, samples[0][0].turns, settings, generation)
    asked_in = {number: _chunk(samples, number, args.num_chunks) for number in parts}
    images = [inside(args.image_folder, image) for mine in asked_in.values() for _, image in mine]
    # One after the other for all chunks: the processes that decode are started once.
    shown = free_media.read_all(images, settings, most=most, workers=args.workers, seconds=120)
    for number, path in parts.items():
        asked = [sample for sample, _ in asked_in[number]]
        predictions, _ = ask(
            model,
            asked,
            itertools.islice(shown, len(asked)),
            history="none",
            generation=generation,
            batch_size=args.batch_size,
            max_rejected=args.max_rejected,
        )
        order = {sample.id: place for place, sample in enumerate(asked)}
        predictions.sort(key=lambda one: order[one.id])
        records.write(path, predictions)


def _chunk(samples: list[tuple[Sample, str]], number: int, of: int) -> list[tuple[Sample, str]]:
    return samples[len(samples) * number // of : len(samples) * (number + 1) // of]


if __name__ == "__main__":
    run(main, parser())
