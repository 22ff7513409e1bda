"""The published training step against ours: samples a second and peak memory, on the same model and clips.

Published (umurkarakas/surgery-sft, train.py): each step decodes its clips with
decord, prepares them with the library's processor, computes logits for every
position, takes the loss on all text, and computes activations twice (gradient
checkpointing). Ours: frames cached once, patches cut by us, logits only where
there is a label, activations kept, and the vision tower's outputs cached. Each
row adds one of these to the row before it.

Both train the published LoRA layers (q_proj, v_proj) on one conversation a
clip, without HF Trainer around them, whose work is the same for both. The
published loss counts system prompt and questions too; before anything is timed
all ways must give the same loss and the same gradient where they count the
same: the answers. Each row runs in a process of its own.

The CPU's model has random weights and the 7B's proportions: output layer 8 %,
vision tower 39 % of the language model's work a visual token. --vocabulary
152064 takes the real number of words: its output layer is then 2.5 times the
language model, and what is won at the logits more than the 7B wins.
On a GPU (--device cuda) the model is Qwen2.5-VL-7B's shape with random weights.

Prints a Markdown table; --output also keeps it as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import av
import numpy as np

from suture import files, libraries, machine, records
from suture.cli import Parser, run
from suture.errors import SutureError
from suture.progress import progress
from suture.records import Clip, Sample, Turn

FRAMES, SIDE, RATE, SECONDS = 10, 224, 30, 5
BATCH = 4

# config.json of Qwen/Qwen2.5-VL-7B-Instruct.
SHAPES: dict[str, dict[str, Any]] = {
    "cuda": {
        "text": {"hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28},
        "kv_heads": 4,
        "mrope_section": [16, 24, 24],
        "vision": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16},
        "full_attention": [7, 15, 23, 31],
        "vocabulary": 152_064,
    },
    "cpu": {
        "text": {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 8},
        "kv_heads": 2,
        "mrope_section": [8, 12, 12],
        "vision": {"depth": 8, "hidden_size": 192, "intermediate_size": 512, "num_heads": 4},
        "full_attention": [1, 3, 5, 7],
        "vocabulary": 4928,
    },
}

# Arithmetic operations a second of dense bf16, from NVIDIA's data sheets.
PEAK = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12}


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to train: which of ours is switched on."""

    frames: bool = False
    selected: bool = False
    keep_activations: bool = False
    features: bool = False


WAYS = {
    "published": Way(),
    "+ frames cached, own patches": Way(frames=True),
    "+ logits only at labels": Way(frames=True, selected=True),
    "+ activations kept": Way(frames=True, selected=True, keep_activations=True),
    "+ features cached": Way(frames=True, selected=True, keep_activations=True, features=True),
}


def parser() -> Parser:
    """Returns the command line's parser."""
    p = Parser(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", choices=sorted(SHAPES), default="cpu", help="where to train (cpu)")
    p.add_argument(
        "--steps",
        type=int,
        default=3,
        metavar="N",
        help="steps a row, of which the fastest counts, after one that does not (3)",
    )
    p.add_argument("--clips", type=int, default=8, metavar="N", help="clips of five seconds (8)")
    p.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the cores)")
    p.add_argument("--vocabulary", type=int, nargs="+", metavar="N", help="sizes of the vocabulary, a table each")
    p.add_argument("--adapters", nargs="+", choices=("lora", "qlora"), help="default: lora; on a GPU both")
    p.add_argument("--output", type=Path, help="also write the results here, as JSON")
    # A row: what the processes of this command are told.
    for name in ("--folder", "--way", "--adapter"):
        p.add_argument(name, help=argparse.SUPPRESS)
    return p


def main(args: argparse.Namespace) -> None:
    """Runs all rows, or one of them in a process of its own."""
    threads = args.threads or len(os.sched_getaffinity(0))
    libraries.prepare(threads=threads)
    if args.folder:
        row = Row(Path(args.folder), args.device, args.adapter)
        print(json.dumps(row.check() if args.way == "check" else row.time(args.way, args.steps)))
        return
    before = os.getloadavg()
    adapters = args.adapters or (["lora", "qlora"] if args.device == "cuda" else ["lora"])
    rows: list[dict[str, Any]] = []
    for vocabulary in args.vocabulary or [SHAPES[args.device]["vocabulary"]]:
        with tempfile.TemporaryDirectory(prefix="suture-train-step-") as name:
            folder = Path(name)
            draw(folder, args.clips)
            build(folder / "model", args.device, vocabulary)
            cache(folder, args.device)
            for adapter in adapters:
                rows += measure(folder, args, adapter, vocabulary)
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
        data = {"batch": BATCH, "frames": [FRAMES, SIDE, SIDE], "turns": len(turns_of(0)), "steps": args.steps}
        files.write_json(args.output, {"machine": where, "data": data, "rows": rows})


def measure(folder: Path, args: argparse.Namespace, adapter: str, vocabulary: int) -> list[dict[str, Any]]:
    """Checks that all ways compute the same, then times each; nothing is timed of ways that differ."""

    def child(way: str) -> dict[str, Any]:
        given = ["--folder", folder, "--way", way, "--adapter", adapter, "--device", args.device, "--steps", args.steps]
        words = [*given, *(["--threads", args.threads] if args.threads else [])]
        done = subprocess.run([sys.executable, __file__, *map(str, words)], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SutureError(f"the row {way!r} failed", where=folder)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    checked = child("check")
    rows = []
    for way in progress(list(WAYS), what=f"{adapter}, vocabulary {vocabulary}", unit="row"):
        found = child(way)
        rows.append({"adapter": adapter, "vocabulary": vocabulary, "way": way, **checked, **found})
    for row in rows:
        row["ratio"] = round(row["samples_per_second"] / rows[0]["samples_per_second"], 2)
    return rows


def turns_of(number: int) -> tuple[Turn, ...]:
    """Three questions with answers of the published length."""
    phase = ("Incision", "Phacoemulsification", "Lens Implantation", "Capsule Polishing")[number % 4]
    return (
        Turn(question="Which surgical phase is shown in this clip?", answer=f"The phase is {phase}.", kind="phase"),
        Turn(
            question="Which instruments are visible?",
            answer="A spatula and a phacoemulsification tip are seen inside of the pupil.",
            kind="instruments",
        ),
        Turn(
            question="Which anatomical structures are visible?",
            answer="The cornea, the pupil and the iris are visible in the image.",
            kind="anatomy",
        ),
    )


def draw(folder: Path, clips: int) -> None:
    """Draws clips as the published ones are, 224x224 at 30 frames a second: ground, an instrument, sensor noise."""
    rng = np.random.default_rng(0)
    made, samples = [], []
    for number in range(clips):
        name, path = f"clip_{number}", folder / "clips" / f"clip_{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        ground = rng.integers(60, 180, (SIDE // 16, SIDE // 16, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=RATE)
            stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
            for n in range(RATE * SECONDS):
                image = ground + rng.integers(0, 12, ground.shape, dtype=np.uint8)
                x = round((SIDE - 20) * (0.5 + 0.45 * np.sin(n / 20 + number)))
                image[SIDE // 3 :, x : x + 12] = 230
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        span: dict[str, Any] = {"start_s": 0.0, "end_s": float(SECONDS), "first_frame": 0, "n_frames": RATE * SECONDS}
        size: dict[str, Any] = {"fps": float(RATE), "width": SIDE, "height": SIDE, "method": "reencode"}
        names: dict[str, Any] = {"case": name, "phase": "", "path": path.name, "source": "", "source_sha256": ""}
        made.append(Clip(id=name, sha256=files.sha256_file(path), **names, **span, **size))
        samples.append(Sample(id=name, case=name, clip=name, phase="", turns=turns_of(number)))
    records.write(folder / "clips.jsonl", made)
    records.write(folder / "samples.jsonl", samples)


def build(folder: Path, device: str, vocabulary: int) -> None:
    """Saves a Qwen2.5-VL of the device's shape with random weights, with tokenizer and processor."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, set_seed

    from suture.models import qwen2_5_vl

    qwen2_5_vl.build_small(folder)
    small, shape = Qwen2_5_VLConfig.from_pretrained(folder).to_dict(), SHAPES[device]
    text = small["text_config"] | shape["text"] | {"vocab_size": vocabulary, "initializer_range": 0.02}
    text |= {"num_key_value_heads": shape["kv_heads"], "tie_word_embeddings": device == "cpu"}
    text["layer_types"] = ["full_attention"] * text["num_hidden_layers"]
    text["rope_parameters"] = text["rope_parameters"] | {"mrope_section": shape["mrope_section"]}
    vision = small["vision_config"] | shape["vision"] | {"fullatt_block_indexes": shape["full_attention"]}
    vision |= {"out_hidden_size": text["hidden_size"], "initializer_range": 0.02}
    config = Qwen2_5_VLConfig.from_dict(
        small | {"text_config": text, "vision_config": vision, "tie_word_embeddings": device == "cpu"}
    )
    set_seed(0)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    with torch.device(device):
        torch.set_default_dtype(dtype)
        model = Qwen2_5_VLForConditionalGeneration(config)
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    # The library would enlarge frames of 224x224 to its smallest size: both ways are to see the same pixels.
    described = files.read_json(folder / "processor_config.json")
    described["video_processor"]["size"] = {"shortest_edge": 28 * 28, "longest_edge": SIDE * SIDE}
    files.write_json(folder / "processor_config.json", described)


def cache(folder: Path, device: str) -> None:
    """Caches frames and features by the commands that users run."""
    scripts = Path(__file__).parents[1] / "workflow" / "scripts"

    def command(name: str, *words: object) -> None:
        subprocess.run([sys.executable, str(scripts / f"{name}.py"), *map(str, words)], check=True, stdout=2)

    frames = ["--clips", folder / "clips.jsonl", "--clips-dir", folder / "clips", "--fps", 2, "--size", SIDE, SIDE]
    command("cache_frames", *frames, "--output", folder / "frames.jsonl", "--array", folder / "frames.npy")
    model = ["--family", "qwen2_5_vl", "--model", folder / "model", "--frames-cache", folder / "frames.jsonl"]
    precision = "fp32" if device == "cpu" else "bf16"
    out = ["--output", folder / "features.jsonl", "--array", folder / "features.npy", "--dtype", precision]
    command("cache_features", *model, *out)


class Row:
    """A model with its adapters, and steps of each way on it."""

    def __init__(self, folder: Path, device: str, adapter: str) -> None:
        import torch

        from suture import registry
        from suture.config.training import Train
        from suture.features import FeatureCache
        from suture.frames import FrameCache
        from suture.training import adapters

        self._folder, self._torch = folder, torch
        self._device = torch.device(device)
        self.options = Train(
            max_steps=1,
            steps_per_job=1,
            precision="fp32" if device == "cpu" else "bf16",
            r=32,
            lora_alpha=32,
            lora_targets="q_proj,v_proj",
            use_lora=adapter == "lora",
            use_qlora=adapter == "qlora",
        )
        self._vlm: Any = registry.family("qwen2_5_vl").load(folder / "model", **adapters.base_options(self.options))
        adapters.attach(self._vlm, self.options)
        self._model = self._vlm.model.to(self._device)
        self._learnt = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        with torch.no_grad():  # adapters begin as nothing, and their first halves then have no gradient
            for name, parameter in self._model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.02, generator=torch.Generator(self._device).manual_seed(1))
        self._samples: list[Sample] = records.read(folder / "samples.jsonl", Sample)
        self._clips: dict[str, Clip] = {clip.id: clip for clip in records.read(folder / "clips.jsonl", Clip)}
        self._frames = FrameCache([folder / "frames.jsonl"])
        self._features = FeatureCache([folder / "features.jsonl"])

    def batch(self, way: Way, samples: Sequence[Sample]) -> dict[str, Any]:
        """Prepares a batch as a way does."""
        from suture.training.data import video_of

        if way.frames:
            source = self._features if way.features else self._frames
            return dict(self._vlm.collate([self._vlm.encode(s.turns, video_of(source, s.clip)) for s in samples]))
        return self._published_batch(samples)

    def _published_batch(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Decodes and prepares as the published loop does: decord, chat template, processor, labels but for padding."""
        import decord

        from suture import chat

        texts, videos, described = [], [], []
        for sample in samples:
            reader = decord.VideoReader(str(self._folder / "clips" / self._clips[sample.clip].path))
            step = int(reader.get_avg_fps() / 2)
            wanted = [step * i for i in range(2 * len(reader) // int(reader.get_avg_fps()))]
            videos.append(np.ascontiguousarray(reader.get_batch(wanted).asnumpy().transpose(0, 3, 1, 2)))
            described.append({"total_num_frames": len(reader), "fps": reader.get_avg_fps(), "frames_indices": wanted})
            said = chat.messages(sample.turns, self._vlm.system_prompt, video=True, for_reply=False)
            texts.append(self._vlm.processor.apply_chat_template(said, tokenize=False))
        batch = dict(
            self._vlm.processor(
                text=texts,
                videos=videos,
                videos_kwargs={"video_metadata": described, "do_sample_frames": False},
                padding=True,
                return_tensors="pt",
            )
        )
        batch["second_per_grid_ts"] = self._torch.as_tensor(batch["second_per_grid_ts"])
        labels = batch["input_ids"].clone()
        hidden = self._vlm.tokenizer.convert_tokens_to_ids(["<|vision_start|>", "<|vision_end|>", "<|video_pad|>"])
        labels[self._torch.isin(labels, self._torch.tensor([*hidden, self._vlm.tokenizer.pad_token_id]))] = -100
        return {**batch, "labels": labels}

    def loss(self, way: Way, batch: dict[str, Any]) -> Any:
        """Computes the loss as a way does, in the run's arithmetic."""
        from suture.features import arithmetic_of

        moved = {name: value.to(self._device) for name, value in batch.items()}
        with arithmetic_of(self.options.precision, self._device):
            if way.selected:
                return self._vlm.loss(self._model, moved, None)
            return self._model(**moved, use_cache=False).loss

    def _recompute(self, way: Way) -> None:
        if way.keep_activations:
            self._model.activation_checkpointing_disable()
        else:
            self._model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})

    def check(self) -> dict[str, Any]:
        """Compares the first batch's loss and gradient in all ways, on the same labels: the answers.

        Raises:
            SutureError: they differ by more than rounding.
        """
        torch, samples = self._torch, self._samples[:BATCH]
        answers = self.batch(Way(frames=True), samples)
        found: dict[str, tuple[float, Any]] = {}
        self._model.train()
        for name, way in WAYS.items():
            batch = self.batch(way, samples)
            if not torch.equal(batch["input_ids"], answers["input_ids"]):
                raise SutureError(f"{name!r} sees other tokens")
            self._recompute(way)
            torch.manual_seed(0)
            loss = self.loss(way, batch | {"labels": answers["labels"]})
            loss.backward()
            found[name] = (float(loss.detach()), torch.cat([p.grad.flatten().float() for p in self._learnt]))
            self._model.zero_grad()
        loss, gradient = found["published"]
        apart = max(abs(other - loss) for other, _ in found.values())
        turned = max(float((other - gradient).norm() / gradient.norm()) for _, other in found.values())
        rounding = 1e-5 if self.options.precision == "fp32" else 5e-2
        if not (apart <= rounding * max(1.0, loss) and turned <= 100 * rounding):
            raise SutureError(f"losses differ by {apart:.2e}, gradients by {turned:.2e} of their length")
        return {"loss": round(loss, 4), "losses_differ_by": apart, "gradients_differ_by": turned}

    def time(self, name: str, steps: int) -> dict[str, Any]:
        """Times steps of one way: from clips to updated adapters."""
        from suture.training.memory import meter

        way, held = WAYS[name], meter(self._device)
        self._recompute(way)
        self._model.train()
        optimizer = self._torch.optim.AdamW(self._learnt, lr=2e-5)
        idle = held.used()

        def step(number: int) -> None:
            at = [self._samples[(number * BATCH + k) % len(self._samples)] for k in range(BATCH)]
            self.loss(way, self.batch(way, at)).backward()
            self._torch.nn.utils.clip_grad_norm_(self._learnt, 0.3)
            optimizer.step()
            optimizer.zero_grad()

        held.reset()
        step(0)
        took = []
        for number in range(1, steps + 1):
            self._wait()
            start = time.perf_counter()
            step(number)
            self._wait()
            took.append(time.perf_counter() - start)
        # The fastest: whatever else runs on the machine only adds.
        rate = BATCH / min(took)
        return {
            "samples_per_second": round(rate, 3),
            "seconds_a_step": [round(seconds, 3) for seconds in took],
            "peak_gib": round(held.peak() / 2**30, 2),
            "peak_above_idle_gib": round((held.peak() - idle) / 2**30, 2),
            "mfu": self._mfu(way, rate),
        }

    def _wait(self) -> None:
        if self._device.type == "cuda":
            self._torch.cuda.synchronize()

    def _mfu(self, way: Way, rate: float) -> float | None:
        """Returns the share of the card's arithmetic that the model itself needs; None where its peak is not known.

        Appendix B of PaLM (arxiv.org/abs/2204.02311): operations that the model
        needs at the seen rate, by the card's peak; recomputation counts as
        nothing gained. A frozen weight needs two operations a token forward and
        two backward, none for a gradient of its own; attention 12 a layer, width
        and position; a frozen tower only its forward pass.
        """
        card = self._torch.cuda.get_device_name() if self._device.type == "cuda" else ""
        peak = next((value for name, value in PEAK.items() if name in card), None)
        if peak is None:
            return None
        config = self._vlm.model.config
        text, vision, sample = config.text_config, config.vision_config, self._samples[0]
        entry = self._frames.entry(sample.clip)
        example = self._vlm.encode(sample.turns, self._features.features(sample.clip))
        tokens, labels = len(example.input_ids), sum(label != -100 for label in example.labels)
        keys = text.hidden_size // text.num_attention_heads * text.num_key_value_heads
        layer = 2 * text.hidden_size**2 + 2 * text.hidden_size * keys + 3 * text.hidden_size * text.intermediate_size
        needed: float = text.num_hidden_layers * (4 * layer + 12 * text.hidden_size * tokens) * tokens
        needed += 4 * text.hidden_size * text.vocab_size * labels
        if not way.features:
            patches = -(-entry.n_frames // 2) * (entry.height // 14) * (entry.width // 14)
            block = 4 * vision.hidden_size**2 + 3 * vision.hidden_size * vision.intermediate_size
            needed += vision.depth * 2 * block * patches
        return float(round(needed * rate / peak, 4))


def table(rows: list[dict[str, Any]]) -> str:
    """Formats the rows as a Markdown table."""
    lines = [
        "| adapter | vocabulary | way | samples a second | ours / published | peak GiB | of it above idle | MFU |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['adapter']} | {r['vocabulary']:,} | {r['way']} | {r['samples_per_second']:.2f} | {r['ratio']:.2f} "
        f"| {r['peak_gib']:.2f} | {r['peak_above_idle_gib']:.2f} | {r['mfu'] or '-'} |"
        for r in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, parser())
