"""Samples a second of a training step with the frozen vision tower live, against its cached outputs.

Published (FADA's notebooks): each step runs ViT and Q-Former, though neither
is trained, on an image that each epoch shows once for each of its eight
questions. Ours: their outputs are computed once for each image and fed back.
Both train LoRA on q_proj and v_proj of the language model, on the same eight
questions; before anything is timed both must give the same loss.

The CPU's BLIP-2 has random weights and a quarter of the published widths and
depths, so the published shares of work: ViT 1408 x 39 layers on 257 patches,
Q-Former 768 x 12 on 32 queries, OPT 2560 x 32. --device cuda takes the
published sizes.

--family surgvivqa: VideoMAE on 16 times the same still, for each of about 39
questions about it (SSG-VQA), against its cached outputs; LoRA on GPT-2's
c_attn and c_proj. The CPU's model has half of the published widths and depths.

Cached features save the tower's forward pass and nothing of the language
model's: the table says how much that is. Prints it in Markdown; --output also
keeps it as JSON.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from suture import files, libraries
from suture.cli import Parser, run
from suture.datasets.fetal_ultrasound.questions import STANDARD
from suture.drawing import scans, ultrasound
from suture.records import Turn

SIDE, PATCH, QUERIES = 224, 14, 32
QUESTIONS = {"blip2": 8, "surgvivqa": 39}
"""Questions about an image, in the published data."""


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--family", choices=sorted(QUESTIONS), default="blip2", help="whose tower (blip2)")
    p.add_argument("--seconds", type=float, default=20.0, help="least time of each row (20)")
    p.add_argument("--batch", type=int, default=8, help="samples a step (8)")
    p.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--output", type=Path, help="JSON file to write")
    return p


def main(args: argparse.Namespace) -> None:
    """Checks equality, then times both ways."""
    libraries.prepare(threads=args.threads)
    import numpy as np
    import torch

    from suture import registry
    from suture.config.training import Train, with_family_defaults
    from suture.models.base import Features, Video
    from suture.training import adapters

    model = build_surgvivqa(args.device) if args.family == "surgvivqa" else build(args.device)
    defaults = registry.literals("model family", args.family)["TRAIN_DEFAULTS"]
    torch.manual_seed(0)
    given = {"max_steps": 1, "steps_per_job": 1, "precision": "fp32", "use_lora": True, "lora_dropout": 0.0}
    adapters.attach(model, Train.model_validate(with_family_defaults(given, defaults)))
    model.model.train()
    plans = [scans.plan("Abdomen", number, 1) for number in range(args.batch)]
    pictures = [ultrasound.draw(plan, number, 1, SIDE) for number, plan in enumerate(plans)]
    videos = [Video(frames=np.repeat(picture[None, :, :, None], 3, axis=3)) for picture in pictures]
    turns = [
        [Turn(question=STANDARD[n % 8].text, answer=plan.answers[n % 8], kind=STANDARD[n % 8].kind)]
        for n, plan in enumerate(plans)
    ]
    started = time.perf_counter()
    tokens = model.features(videos)
    a_fill = (time.perf_counter() - started) / len(videos)
    kept = [Features(tokens=one, shape=(1, SIDE, SIDE)) for one in tokens]
    trained = [parameter for parameter in model.model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4)

    def step(shown: Sequence[Any]) -> float:
        batch = model.collate([model.encode(t, one) for t, one in zip(turns, shown, strict=True)])
        loss = model.loss(model.model, {name: value.to(args.device) for name, value in batch.items()}, None)
        loss.backward()
        return float(loss.detach())

    live, cached = step(videos), step(kept)
    if abs(live - cached) > 1e-4 * abs(live):
        raise SystemExit(f"the ways differ: loss {live} live, {cached} cached")
    optimiser.zero_grad()

    def timed(shown: Sequence[Any]) -> float:
        return _rate(lambda: (step(shown), optimiser.step(), optimiser.zero_grad()), args.seconds, args.batch)

    rates = {"vision tower live": timed(videos), "features cached": timed(kept)}
    many = QUESTIONS[args.family]
    first = 1 / (1 / rates["features cached"] + a_fill / many)
    rows = {
        "vision tower live": (rates["vision tower live"], 1.0),
        f"features cached, first epoch (filled, {many} questions an image)": (
            first,
            first / rates["vision tower live"],
        ),
        "features cached, from the second epoch on": (
            rates["features cached"],
            rates["features cached"] / rates["vision tower live"],
        ),
    }
    print(f"| {args.family}, LoRA on {defaults['lora_targets']} | samples/s | against live |\n|---|---|---|")
    for name, (rate, times) in rows.items():
        print(f"| {name} | {rate:.2f} | {times:.2f} |")
    print(f"\none image through the frozen tower: {a_fill:.3f} s; loss {live:.4f} live, {cached:.4f} cached")
    if args.output:
        made = {name: {"samples_per_second": rate, "against_live": times} for name, (rate, times) in rows.items()}
        about = {"machine": platform.processor() or platform.machine(), "threads": args.threads, "batch": args.batch}
        files.write_json(args.output, {**about, "seconds_an_image": a_fill, "rows": made})


def build(device: str) -> Any:
    """Builds a BLIP-2 of random weights: published sizes on a GPU, a quarter of widths and depths on a CPU."""
    import torch
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, BlipImageProcessor

    from suture.models import blip2

    with tempfile.TemporaryDirectory() as folder:
        blip2.build_small(Path(folder))
        tokenizer = blip2.load(Path(folder)).tokenizer
    part = 1 if device == "cuda" else 4
    vision = {"hidden_size": 1408 // part, "num_hidden_layers": 39 // part, "num_attention_heads": 16 // part}
    asking = {"hidden_size": 768 // part, "num_hidden_layers": 12 // part, "num_attention_heads": 12 // part}
    words = {"hidden_size": 2560 // part, "num_hidden_layers": 32 // part, "num_attention_heads": 32 // part}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = Blip2Config(
        vision_config={**vision, "intermediate_size": 6144 // part, "image_size": SIDE, "patch_size": PATCH},
        qformer_config={**asking, "intermediate_size": 3072 // part, "vocab_size": 8},
        text_config={
            **words,
            **ids,
            "model_type": "opt",
            "word_embed_proj_dim": 2560 // part,
            "ffn_dim": 10240 // part,
            "vocab_size": 50304 // part,
            "dropout": 0.0,
            "pad_token_id": tokenizer.pad_token_id,
        },
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids(blip2.IMAGE),
    )
    torch.manual_seed(0)
    module: Any = Blip2ForConditionalGeneration(config)
    module.to(device)
    size = {"height": SIDE, "width": SIDE}
    return blip2.Blip2(module, Blip2Processor(BlipImageProcessor(size=size), tokenizer, QUERIES), "")


def build_surgvivqa(device: str) -> Any:
    """Builds a SurgViVQA of random weights: published sizes on a GPU, half of widths and depths on a CPU."""
    import torch

    from suture.models import surgvivqa
    from suture.surgvivqa_model import SurgVivqaConfig, SurgVivqaModel

    with tempfile.TemporaryDirectory() as folder:
        surgvivqa.build_small(Path(folder))
        processor = surgvivqa.load(Path(folder)).processor
    part = 1 if device == "cuda" else 2
    width, depth, heads, tokens = 768 // part, 12 // part, 12 // part, 50257 // part
    tower = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads}
    reader = {**tower, "intermediate_size": 4 * width, "encoder_hidden_size": width, "vocab_size": tokens}
    torch.manual_seed(0)
    module: Any = SurgVivqaModel(
        SurgVivqaConfig(
            video_config={**tower, "intermediate_size": 4 * width},
            reader_config=reader,
            text_config={
                "n_embd": width,
                "n_layer": depth,
                "n_head": heads,
                "vocab_size": tokens,
                **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
            },
        )
    )
    module.to(device)
    return surgvivqa.SurgViVQA(module, processor, "")


def _rate(step: Callable[[], Any], seconds: float, batch: int) -> float:
    """Returns samples a second of a step, the first one left out."""
    step()
    started, steps = time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < seconds or steps < 2:
        step()
        steps += 1
    return steps * batch / passed


if __name__ == "__main__":
    run(main, parser())
