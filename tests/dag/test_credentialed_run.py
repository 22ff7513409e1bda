"""A run on data that may not be shared: nothing that a reader passes on has a word of a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from support import clone, snakemake


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo of LLaVA-Med in very small, all the way to its report."""
    where = clone(tmp_path_factory.mktemp("credentialed"))
    config = yaml.safe_load((where / "config/demo/llava-med.yaml").read_text())
    config["draw"]["images"] = 20
    config["experiments"].pop("report-projector")
    config["experiments"]["report"]["train"] |= {"max_steps": 2, "steps_per_job": 2, "batch_size": 2}
    config["experiments"]["report"] |= {"baselines": []}
    config["experiments"]["report"]["predict"] |= {"max_new_tokens": 8, "num_chunks": 2}
    (where / "small.yaml").write_text(yaml.safe_dump(config))
    snakemake(where, "--configfile", "small.yaml", timeout=1800)
    return where / "results" / "demo-llava-med"


def test_no_report_text_is_in_the_page_the_logs_or_the_model_card(run: Path) -> None:
    gold = [json.loads(line)["answer"] for line in (run / "predictions/report.jsonl").read_text().splitlines()]
    sentences = {sentence.strip() for text in gold for sentence in text.split(".") if sentence.strip()}
    assert len(sentences) > 4
    shown = [
        run / "report.html",
        *run.glob("logs/**/*"),
        *(path for path in run.glob("models/**/*") if path.suffix != ".safetensors"),
    ]
    shown += [run / "metrics.json", *run.glob("metrics/*.json"), *run.glob("manifests/*rejected*")]
    read = [path for path in shown if path.is_file()]
    assert len(read) > 15
    assert {"report.html", "suture.json", "config.json"} <= {path.name for path in read}
    for path in read:
        text = path.read_text(errors="replace")
        assert not [one for one in sentences if one in text], path.name
    # They were there to be found.
    assert any(one in (run / "reports/report_gt.csv").read_text() for one in sentences)


def test_chunks_give_one_table_of_each_kind(run: Path) -> None:
    rows = {which: (run / f"reports/report_{which}.csv").read_text() for which in ("pred", "gt")}
    assert all(text.count("study_id,report") == 1 for text in rows.values())
    assert len(list((run / "predictions/chunks/report").glob("*.jsonl"))) == 2
    asked = (run / "manifests/split/test.jsonl").read_text().splitlines()
    assert len((run / "predictions/report.jsonl").read_text().splitlines()) == len(asked)


def test_studies_left_out_are_counted_by_reason(run: Path) -> None:
    rejected = [json.loads(line) for path in run.glob("manifests/**/*rejected*.jsonl") for line in path.open()]
    assert {"no_report", "no_sections"} <= {one["reason"] for one in rejected}
    split = json.loads((run / "manifests/split/split.json").read_text())
    assert set(split["fixed"].values()) == {"train", "val", "test"}
