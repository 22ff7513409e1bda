"""The page of a published model: what it is, what it was trained on, how good it is and how to use it.

It holds counts and scores, never text or media of the data, and neither hosts nor paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from suture import ledger, model_folder
from suture.config.training import OF_ADAPTERS
from suture.errors import InputError
from suture.ledger import Entry
from suture.reporting.splits import COUNTS, SplitTable

TEMPLATE = Path(__file__).parents[2] / "report" / "cards" / "model_card.md.j2"

# What identifies a run beside its options: shown elsewhere, or of no use to a reader.
_NO_OPTION = {"family", "system_prompt", "base_weights", "train_samples", "val_samples", "frames", "features"}

_SPELT = {"lora": "LoRA", "qlora": "QLoRA"}

# The hub's name of a metric, where it has one for ours.
_ON_HUB = {"acc": "accuracy", "f1_macro": "f1", "auroc": "roc_auc"}


@dataclass(frozen=True, kw_only=True)
class About:
    """What the page is about.

    Attributes:
        repo_id: where it is pushed to.
        adapter_only: the page is of the adapters, not of the merged model.
        dataset: name of the data.
        pipeline_tag: the hub's word for what the model does.
        license: the hub's short name; None: not known.
        card: ``suture.json`` of the exported model.
        metrics: its entry in metrics.json; None: not measured.
        split: counts; None: not known.
        entries: of the ledger.
    """

    repo_id: str
    adapter_only: bool
    dataset: str
    pipeline_tag: str | None
    license: str | None
    card: Mapping[str, Any]
    metrics: Mapping[str, Any] | None
    split: SplitTable | None
    entries: Sequence[Entry]

    @property
    def base(self) -> str | None:
        """The base model's name on the hub; None for one from elsewhere."""
        base = self.card.get("base", {})
        return base.get("model") if base.get("source") == "hub" else None

    @property
    def leaky(self) -> bool:
        """Whether cases of the training data are among those that were scored."""
        return bool((self.split and self.split.leaky) or (self.metrics and self.metrics["leaky"]))


def render(about: About) -> str:
    """Returns the page: YAML for the hub, then Markdown for people."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["line"] = lambda value: " ".join(str(value).split())
    environment.filters["cell"] = lambda value: " ".join(str(value).split()).replace("|", "\\|")
    environment.filters["number"] = lambda value: f"{value:.3f}"
    card = about.card
    adapter = card.get("adapter") or ""
    left_out = _NO_OPTION if adapter else _NO_OPTION | {"use_lora", "use_qlora", *OF_ADAPTERS}
    return environment.get_template(TEMPLATE.name).render(
        about=about,
        head=_head(about).to_yaml().strip(),
        name=about.repo_id.split("/")[-1],
        family=card["family"],
        adapter=_SPELT.get(adapter, adapter),
        options={
            key: value
            for key, value in sorted(card.get("training", {}).items())
            if key not in left_out and value is not None
        },
        revision=card.get("base", {}).get("revision"),
        base_license=card.get("base", {}).get("license"),
        parts=COUNTS,
        cost=ledger.totals(about.entries),
        gib=2**30,
    )


def _head(about: About) -> ModelCardData:
    """Returns the metadata that the hub reads."""
    adapter = about.card.get("adapter")
    return ModelCardData(
        base_model=about.base,
        base_model_relation=("adapter" if about.adapter_only else "finetune") if about.base else None,
        library_name="peft" if about.adapter_only else "transformers",
        license=about.license,
        pipeline_tag=about.pipeline_tag,
        tags=["suture", "medical", "video", about.card["family"], *([adapter] if adapter else [])],
        model_name=about.repo_id.split("/")[-1],
        eval_results=_results(about),
    )


def _results(about: About) -> list[EvalResult] | None:
    if about.metrics is None or not about.metrics["metrics"]:
        return None
    data = {
        "task_type": about.pipeline_tag or "other",
        "dataset_type": about.dataset,
        "dataset_name": about.dataset + (" (leaky split)" if about.leaky else ""),
        "dataset_split": about.metrics["split"],
    }
    return [
        EvalResult(
            **data,
            metric_type=_ON_HUB.get(key, key),
            metric_name=key,
            metric_value=round(one["value"], 6),
            metric_args={"low": round(one["low"], 6), "high": round(one["high"], 6), "n": one["n"]},
        )
        for key, one in sorted(about.metrics["metrics"].items())
    ]


def read(model: Path) -> dict[str, Any]:
    """Reads the card of an exported model.

    Raises:
        InputError: the folder is not one.
    """
    card = model_folder.read_card(model)
    if "step" not in card or "weights" not in card:
        raise InputError("not an exported model", where=model, fix="give the --output of export_model.py")
    return card
