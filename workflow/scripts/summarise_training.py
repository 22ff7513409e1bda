"""Sums up a finished training as FADA's notebooks do: final_model/ and training_summary.json.

Run as:
    python workflow/scripts/summarise_training.py --experiment Femur --model models/Femur \\
        --checkpoint train/segment-1 --train train.jsonl --val val.jsonl --test test.jsonl \\
        --output-model Femur/final_model --output Femur/training_summary.json

final_model/ holds adapter, tokenizer and processor; where all weights were
trained, the whole model. The summary has the published keys, and what they
leave out: steps, options, the validation loss, how much was trained, and on what.
Times come from --ledger, whose jobs say them; without it they are null.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import files, records, summary
from suture.cli import Parser, run
from suture.records import Sample


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--experiment", required=True, metavar="NAME", help="its name in the ledger: the category")
    p.add_argument("--model", type=Path, required=True, metavar="DIR", help="output of export_model.py")
    p.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="output of the last train.py segment")
    p.add_argument("--base-name", default="", metavar="NAME", help="what the base model is called")
    for split in ("train", "val", "test"):
        p.add_argument(f"--{split}", type=Path, required=True, metavar="FILE", help=f"{split} samples")
    p.add_argument("--ledger", type=Path, metavar="FILE", help="ledger.jsonl of the run")
    p.add_argument("--output-model", type=Path, required=True, metavar="DIR", help="final_model/ to write")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="training_summary.json to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Writes both; the folder first."""
    splits: dict[str, list[Sample]] = {
        name: records.read(getattr(args, name), Sample) for name in ("train", "val", "test")
    }
    summary.copy_final(args.model, args.output_model)
    made = summary.summarise(
        experiment=args.experiment,
        model=args.model,
        checkpoint=args.checkpoint,
        base_name=args.base_name,
        splits=splits,
        ledger_file=args.ledger,
        output_dir=args.output.parent,
    )
    files.write_json(args.output, made)
    print(f"{made['category']}: {made['train_samples']} samples, {made['epochs']} epochs, loss {made['final_loss']}")


if __name__ == "__main__":
    run(main, parser())
