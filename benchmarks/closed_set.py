"""One question, 51 choices: scored together, against one forward pass a choice, on the same model and clips.

The choices are the labels of SSG-VQA. One pass a choice is how closed-set
answers are scored where nothing is shared: video, question and choice run 51
times. Its rows leave out more and more of what each pass repeats: logits at
every position ("without vocabulary projection": only where a token of the
choice is asked for), then the vision tower. Ours: question and video once,
then all choices as a tree, or as rows behind copies of the prompt's keys and
values, as where the attention takes no tree; alone, and with features cached.

Before anything is timed all ways must give every choice the same
log-probability, to 1e-5 in single precision.

The model is that of train_step.py: random weights, Qwen2.5-VL-7B's proportions
on the CPU (--vocabulary 152064 takes its number of words too), its shape on a
GPU (--device cuda). The tokenizer is the small model's, which knows SSG-VQA's
words.

Prints a Markdown table; --output also keeps it as JSON.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import train_step

from suture import files, libraries, machine, records
from suture.cli import Parser, run
from suture.errors import SutureError
from suture.progress import progress
from suture.records import Sample, Turn

# Of SSG-VQA, in the order of the published list, in which a bag is there twice.
WORDS = (
    "0 1 10 2 3 4 5 6 7 8 9 False True abdominal_wall_cavity adhesion anatomy aspirate bipolar blood_vessel blue brown "
    "clip clipper coagulate cut cystic_artery cystic_duct cystic_pedicle cystic_plate dissect fluid gallbladder grasp "
    "grasper gut hook instrument irrigate irrigator liver omentum pack peritoneum red retract scissors silver "
    "specimen_bag specimenbag white yellow"
)
LABELS = WORDS.split()
QUESTIONS = (
    "What anatomy is at the top-mid of the frame?",
    "What is the action being performed on cystic_duct?",
    "How many tools are present?",
    "Is there any liver in the frame at the same location as the silver instrument that is used to grasp?",
)

NAIVE = f"{len(LABELS)} forwards"
PROJECTED = f"{len(LABELS)} forwards without vocabulary projection"
FEATURES = f"{PROJECTED}, features cached"
TREE = "question once, choices as a tree"
ROWS = "question once, choices as rows"
TREE_FEATURES = f"{TREE}, features cached"


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", choices=sorted(train_step.SHAPES), default="cpu", help="where to score (cpu)")
    p.add_argument(
        "--questions", type=int, default=2, metavar="N", help="timed for each way, of which the fastest counts (2)"
    )
    p.add_argument(
        "--batch", type=int, default=4, metavar="N", help="questions scored at once, in rows beside those of one (4)"
    )
    p.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the cores)")
    p.add_argument("--vocabulary", type=int, nargs="+", metavar="N", help="sizes of the vocabulary, a table each")
    p.add_argument("--output", type=Path, help="also write the results here, as JSON")
    return p


def main(args: argparse.Namespace) -> None:
    """Measures all ways on each vocabulary."""
    if min(args.questions, args.batch) < 1:
        raise SutureError("--questions and --batch are at least 1")
    threads = args.threads or len(os.sched_getaffinity(0))
    libraries.prepare(threads=threads)
    before = os.getloadavg()
    rows: list[dict[str, Any]] = []
    for vocabulary in args.vocabulary or [train_step.SHAPES[args.device]["vocabulary"]]:
        with tempfile.TemporaryDirectory(prefix="suture-closed-set-") as name:
            folder = Path(name)
            train_step.draw(folder, max(args.batch, args.questions))
            train_step.build(folder / "model", args.device, vocabulary)
            train_step.cache(folder, args.device)
            rows += Scorer(folder, args.device).measure(vocabulary, args.questions, args.batch)
    print(table(rows))
    if args.output:
        where = {
            "cores": len(os.sched_getaffinity(0)),
            "threads": threads,
            "processor": machine.cpu(),
            "gpus": machine.gpus(),
            "load_average_before": [round(value, 2) for value in before],
            "versions": machine.versions(),
        }
        shape = [train_step.FRAMES, train_step.SIDE, train_step.SIDE]
        data = {"choices": len(LABELS), "frames": shape, "questions": args.questions}
        files.write_json(args.output, {"machine": where, "data": data, "rows": rows})


class Scorer:
    """A model, questions about clips, and each way to score the choices."""

    def __init__(self, folder: Path, device: str) -> None:
        import torch

        from suture import registry
        from suture.choice_tree import plant
        from suture.features import FeatureCache
        from suture.frames import FrameCache

        self._torch, self._device = torch, torch.device(device)
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        self._vlm: Any = registry.family("qwen2_5_vl").load(folder / "model", dtype=dtype)
        self._vlm.model.to(self._device).eval()
        self._clips = [sample.clip for sample in records.read(folder / "samples.jsonl", Sample)]
        self._frames, self._features = FrameCache([folder / "frames.jsonl"]), FeatureCache([folder / "features.jsonl"])
        self._answers = [self._vlm.answer_tokens([self._turn(0)], label) for label in LABELS]
        self._tree = plant(self._answers)

    def _turn(self, number: int, answer: str = "") -> Turn:
        return Turn(question=QUESTIONS[number % len(QUESTIONS)], answer=answer, kind="")

    def _shown(self, number: int, features: bool) -> Any:
        from suture.training.data import video_of

        return video_of(self._features if features else self._frames, self._clips[number])

    def alone(self, numbers: Sequence[int], *, selected: bool, features: bool) -> Any:
        """Scores each choice in a pass of its own, [questions, choices]."""
        torch, found = self._torch, []
        for number in numbers:
            shown = self._shown(number, features)
            for label, tokens in zip(LABELS, self._answers, strict=True):
                example = self._vlm.encode([self._turn(number, label)], shown)
                batch = {name: value.to(self._device) for name, value in self._vlm.collate([example]).items()}
                if selected:
                    # Logits only where the loss of training needs them.
                    with torch.inference_mode():
                        found.append(-float(self._vlm.loss(self._vlm.model, batch, 1)))
                    continue
                with torch.inference_mode():
                    inputs = {name: value for name, value in batch.items() if name != "labels"}
                    logits = self._vlm.model(**inputs, use_cache=False).logits[0].float()
                start = len(example.input_ids) - 1 - [*reversed(example.labels)].index(tokens[-1]) - len(tokens)
                said = logits[start : start + len(tokens)].log_softmax(dim=-1)
                found.append(float(said[range(len(tokens)), list(tokens)].double().sum()))
        return torch.tensor(found, dtype=torch.float64).view(len(numbers), len(LABELS))

    def together(self, numbers: Sequence[int], *, way: str, features: bool) -> Any:
        """Scores all choices behind one pass of the questions, [questions, choices]."""
        from suture import choice_tree

        prompts = [
            self._vlm.encode([self._turn(number)], self._shown(number, features), for_reply=True) for number in numbers
        ]
        batch = self._vlm.collate(prompts, pad_left=True)
        attentions = choice_tree.TREE_ATTENTIONS if way == "tree" else frozenset()
        with patch.object(choice_tree, "TREE_ATTENTIONS", attentions):
            return self._vlm.score(batch, self._tree)

    def measure(self, vocabulary: int, questions: int, batch: int) -> list[dict[str, Any]]:
        """Checks that all ways agree, then times each; nothing is timed of ways that differ.

        Raises:
            SutureError: they differ by more than rounding.
        """
        ways: dict[str, tuple[Callable[[Sequence[int]], Any], int]] = {
            NAIVE: (lambda n: self.alone(n, selected=False, features=False), 1),
            PROJECTED: (lambda n: self.alone(n, selected=True, features=False), 1),
            FEATURES: (lambda n: self.alone(n, selected=True, features=True), 1),
            ROWS: (lambda n: self.together(n, way="rows", features=False), 1),
            TREE: (lambda n: self.together(n, way="tree", features=False), 1),
            TREE_FEATURES: (lambda n: self.together(n, way="tree", features=True), 1),
        }
        if batch > 1:
            ways[f"{TREE}, {batch} questions at once"] = (ways[TREE][0], batch)
            ways[f"{TREE_FEATURES}, {batch} questions at once"] = (ways[TREE_FEATURES][0], batch)
        apart = self._check(ways)
        rows: list[dict[str, Any]] = []
        for name, (score, at_once) in progress(ways.items(), what=f"vocabulary {vocabulary}", unit="way"):
            took = [
                self._time(score, [(first + k) % len(self._clips) for k in range(at_once)])
                for first in range(questions)
            ]
            # The fastest: whatever else runs on the machine only adds.
            seconds = min(took) / at_once
            rows.append(
                {
                    "vocabulary": vocabulary,
                    "way": name,
                    "seconds_a_question": round(seconds, 4),
                    "seconds": [round(second, 4) for second in took],
                    "log_probabilities_differ_by": apart[name],
                    "tokens_of_choices": [sum(map(len, self._answers)), len(self._tree.tokens)],
                }
            )
        of = {row["way"]: row["seconds_a_question"] for row in rows}
        for row in rows:
            row["faster_than_forwards"] = round(of[NAIVE] / row["seconds_a_question"], 1)
            row["faster_than_without_projection"] = round(of[PROJECTED] / row["seconds_a_question"], 1)
            row["faster_than_with_features"] = round(of[FEATURES] / row["seconds_a_question"], 1)
        return rows

    def _check(self, ways: dict[str, tuple[Callable[[Sequence[int]], Any], int]]) -> dict[str, float]:
        """Compares every way's scores with those of the first; this also warms each up."""
        found = {name: score(range(at_once)) for name, (score, at_once) in ways.items()}
        allowed = 1e-5 if self._device.type == "cpu" else 0.5  # a sum of bf16's rounding over a choice's tokens
        apart = {name: float((scores[:1] - found[NAIVE]).abs().max()) for name, scores in found.items()}
        if worst := {name: value for name, value in apart.items() if not value <= allowed}:
            raise SutureError(f"log-probabilities differ: {worst}")
        return apart

    def _time(self, score: Callable[[Sequence[int]], Any], numbers: Sequence[int]) -> float:
        start = time.perf_counter()
        score(numbers)  # scores arrive on the CPU: the device has finished
        return time.perf_counter() - start


def table(rows: list[dict[str, Any]]) -> str:
    """Formats the rows as a Markdown table."""
    lines = [
        "| vocabulary | way | seconds a question | times faster than 51 forwards | than those without projection "
        "| than those with features too |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['vocabulary']:,} | {r['way']} | {r['seconds_a_question']:.3f} | {r['faster_than_forwards']:.1f} "
        f"| {r['faster_than_without_projection']:.1f} | {r['faster_than_with_features']:.1f} |"
        for r in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, parser())
