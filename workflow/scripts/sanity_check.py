"""Says before a training is submitted whether it would come to something: data, split, labels, loss, speed, memory.

Run as:
    python workflow/scripts/sanity_check.py --model models/surgvivqa --ssgvqa-root SSGVQA/ssg-qa \\
        --image-root CholecT45/data
    python workflow/scripts/sanity_check.py --configfile config/ssgvqa.yaml
    make sanity-check CONFIG=config/ssgvqa.yaml

The checks are those of doctor.py, and one more that trains a few steps on a
few questions. A line each, PASS, WARN or FAIL; exit code 2 where one is FAIL.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from suture import files, registry
from suture.checks import GROUPS, findings
from suture.checks.base import Setting
from suture.checks.words import lines
from suture.cli import BAD_INPUT, DONE, Parser, run
from suture.config.command_line import raw_config
from suture.config.load import resolve
from suture.errors import InputError
from suture.prompt_modes import MODES

CHECKS = ("data", "split", "labels", "weights", "training")


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--configfile", type=Path, metavar="FILE", help="a run's configuration, in place of the rest")
    p.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="its changes, as snakemake's")
    p.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="folder of runs (results)")
    p.add_argument("--ssgvqa-root", type=Path, metavar="DIR", help="question folders")
    p.add_argument("--image-root", type=Path, metavar="DIR", help="frames")
    p.add_argument("--dataset", default="ssgvqa", metavar="NAME", help="adapter that reads them (ssgvqa)")
    p.add_argument("--family", default="surgvivqa", metavar="NAME", help="model family (surgvivqa)")
    p.add_argument("--model", type=Path, metavar="DIR", help="base model, a folder of fetch_weights.py")
    p.add_argument("--size", type=int, nargs=2, default=[224, 224], metavar=("H", "W"), help="of frames (224 224)")
    p.add_argument("--batch-size", type=int, default=8, metavar="N", help="samples a step (8)")
    p.add_argument("--max-steps", type=int, default=30000, metavar="N", help="of the training to come (30000)")
    p.add_argument("--prompt-mode", choices=MODES, default="simple", help="of the training to come (simple)")
    return p


def main(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="suture-") as folder:
        raw = _raw(args, Path(folder))
        setting = Setting(raw=raw, config=resolve(raw), results=args.results)
        counts: Counter[str] = Counter()
        for name, finding in findings(setting, {name: GROUPS[name] for name in CHECKS}):
            print("\n".join(lines(name, finding)), flush=True)
            counts[finding.status] += 1
    print(f"\n{counts['FAIL']} would fail, {counts['WARN']} to look at, {counts['PASS']} in order")
    return BAD_INPUT if counts["FAIL"] else DONE


def _raw(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Returns the configuration that is checked: a run's, or one made of the flags."""
    if args.configfile is not None:
        return raw_config(argparse.Namespace(configfile=args.configfile, config=args.config, config_json=None))
    for flag, value in (("ssgvqa-root", args.ssgvqa_root), ("image-root", args.image_root), ("model", args.model)):
        if value is None:
            raise InputError(f"--{flag} is missing", fix="give it, or --configfile FILE")
    labels = folder / "labels.json"
    files.write_json(labels, list(getattr(registry.dataset(args.dataset), "LABELS", ())))
    return {
        "run": "sanity-check",
        "dataset": args.dataset,
        "annotations": str(args.ssgvqa_root),
        "videos": str(args.image_root),
        "qa": {"backend": "annotation", "questions": "apart"},
        "split": {"official": True},
        "experiments": {
            args.family: {
                "family": args.family,
                "model": str(args.model),
                "task": "closed_vqa",
                "prompt_mode": args.prompt_mode,
                "frames": {"count": 1, "height": args.size[0], "width": args.size[1]},
                "train": {
                    "max_steps": args.max_steps,
                    "steps_per_job": args.max_steps,
                    "batch_size": args.batch_size,
                },
                "predict": {"choices": str(labels), "history": "none"},
            }
        },
    }


if __name__ == "__main__":
    run(main, parser())
