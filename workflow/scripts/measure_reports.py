"""Measures reports with models that Suture does not bring: BERTScore, CheXbert, RadGraph. Read by score.py.

Run as:
    python workflow/scripts/measure_reports.py --predictions predictions.jsonl --chexbert weights/chexbert \\
        --bertscore weights/distilroberta-base --bertscore-baseline distilroberta-base.tsv --output scores.jsonl

Predictions are JSON Lines, several files at once (those of baselines), or CSV
of study_id and report with the right ones as --references. --bertscore is a
folder of an encoder; --bertscore-baseline the package bert-score's file of that
encoder, by which published figures are rescaled. --chexbert is a folder with
bert-base-uncased's configuration and tokenizer and chexbert.pth. --radgraph are
the two files that RadGraph's own program wrote of predicted and right reports,
by study id; RadCliQ needs all three. What is not given is not measured. The
output has digests of texts and numbers, no text.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from suture import predicted, records, report_scores
from suture.cli import Parser, run
from suture.errors import InputError
from suture.measures import radgraph
from suture.report_scores import ReportScore
from suture.tasks.base import Row


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--predictions", type=Path, nargs="+", required=True, metavar="FILE", help="JSON Lines, or CSV")
    p.add_argument("--references", type=Path, metavar="FILE", help="CSV of the right reports, for predictions in CSV")
    p.add_argument("--bertscore", type=Path, metavar="DIR", help="folder of an encoder")
    p.add_argument("--bertscore-layer", type=int, metavar="N", help="layer compared (the best known, else the last)")
    p.add_argument("--bertscore-baseline", type=Path, metavar="FILE", help="rescale by this file's F of that layer")
    p.add_argument("--chexbert", type=Path, metavar="DIR", help="folder of CheXbert")
    p.add_argument("--radgraph", type=Path, nargs=2, metavar="FILE", help="RadGraph's output: predicted, right")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (1)")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="scores (JSON Lines)")
    return p


def main(args: argparse.Namespace) -> None:
    """Measures and writes."""
    if not (args.bertscore or args.chexbert or args.radgraph):
        raise InputError("nothing to measure with", fix="give --bertscore, --chexbert or --radgraph")
    if args.bertscore_baseline and not args.bertscore:
        raise InputError("--bertscore-baseline would do nothing without --bertscore", fix="give both")
    gold = predicted.read_gold(args.references) if args.references else None
    rows = [row for path in args.predictions for row in predicted.read(path, gold).rows]
    texts = sorted({(row.prediction, row.answer) for row in rows})
    found: dict[str, dict[str, object]] = {report_scores.pair(*one): {} for one in texts}
    if args.bertscore:
        _bertscore(args, texts, found)
    if args.chexbert:
        from suture import libraries

        libraries.prepare(threads=args.threads)
        from suture.measures.chexbert import CheXbert, similarity

        distinct = sorted({text for both in texts for text in both})
        read = dict(zip(distinct, CheXbert(args.chexbert).read(distinct), strict=True))
        for said, right in texts:
            found[report_scores.pair(said, right)] |= {
                "similarity": similarity(read[said], read[right]),
                "told": read[said].told,
                "gold": read[right].told,
            }
    if args.radgraph:
        _radgraph(args, rows, found)
    scores = [ReportScore.from_json({"pair": pair, **values}) for pair, values in sorted(found.items())]
    records.write(args.output, scores)
    print(f"{len(scores)} pairs of reports")


def _bertscore(args: argparse.Namespace, texts: list[tuple[str, str]], found: dict[str, dict[str, object]]) -> None:
    from suture.measures.bertscore import BertScore

    encoder = BertScore(args.bertscore, args.bertscore_layer, threads=args.threads)
    low = report_scores.baseline(args.bertscore_baseline, encoder.layer) if args.bertscore_baseline else None
    for both, score in zip(texts, encoder.f1(texts), strict=True):
        rescaled = None if low is None else (score - low) / (1 - low)
        found[report_scores.pair(*both)] |= {"bertscore": score, "bertscore_rescaled": rescaled}


def _radgraph(args: argparse.Namespace, rows: list[Row], found: dict[str, dict[str, object]]) -> None:
    said, right = (radgraph.read(path) for path in args.radgraph)
    for row in rows:
        for graphs, path in ((said, args.radgraph[0]), (right, args.radgraph[1])):
            if row.id not in graphs:
                raise InputError(f"study {row.id} is not there", where=path, fix="run RadGraph on these very reports")
        found[report_scores.pair(row.prediction, row.answer)]["radgraph"] = radgraph.f1(said[row.id], right[row.id])


if __name__ == "__main__":
    run(main, parser())
