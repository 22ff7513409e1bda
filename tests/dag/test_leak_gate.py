"""The leak gate in the DAG: a video that is there twice stops the run before anything is trained."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
import yaml

from support import clone, planned, snakemake
from video_files import make_video

CASES = ["patient_01", "patient_02", "patient_03"]
CONFIG = ["--configfile", "own.yaml"]
GATE = "results/own/manifests/leaks/split/n4-56x56.json"


def encode_again(source: Path, target: Path) -> None:
    """Writes the same pictures at twice the size and a worse quality: other bytes, and another digest."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream("libx264", rate=10, options={"crf": "30"})
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        for frame in read.decode(video=0):
            written.mux(stream.encode(frame.reformat(192, 128, "yuv420p")))
        written.mux(stream.encode())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = clone(tmp_path_factory.mktemp("leak"))
    (where / "videos").mkdir()
    for number, case in enumerate(CASES[:2]):
        make_video(where / "videos" / f"{case}.mp4", seconds=5, seed=number)
    encode_again(where / "videos/patient_01.mp4", where / "videos/patient_03.mp4")
    rows = [f"{case},{case}.mp4,{times},Incision,Which?,Incision" for case in CASES for times in ("0,2.5", "2.5,5")]
    (where / "own.csv").write_text("\n".join(["case,media,start,end,label,question,answer", *rows]) + "\n")
    (where / "assign.csv").write_text("case,split\npatient_01,train\npatient_02,val\npatient_03,test\n")
    train = {"use_qlora": False, "gradient_checkpointing": False, "max_steps": 1, "steps_per_job": 1, "batch_size": 2}
    experiment = {"family": "qwen2_5_vl", "model": "small", "frames": {"count": 4, "height": 56, "width": 56}}
    config = {
        "run": "own",
        "dataset": "table",
        "annotations": "own.csv",
        "videos": "videos",
        "shards": 1,
        "qa": {"backend": "annotation"},
        "split": {"assign": "assign.csv"},
        "experiments": {"one": {**experiment, "train": {**train, "precision": "fp32"}}},
    }
    (where / "own.yaml").write_text(yaml.safe_dump(config))
    return where


def test_training_and_scoring_wait_for_the_gate(run: Path) -> None:
    assert planned(snakemake(run, "-n", *CONFIG))["check_leaks"] == 1
    for target in ("results/own/train/one/segment-1", "results/own/metrics/one.json"):
        assert planned(snakemake(run, "-n", target, *CONFIG))["check_leaks"] == 1


def test_a_video_that_is_there_twice_stops_the_run(run: Path) -> None:
    printed = snakemake(run, GATE, *CONFIG, code=1)
    path = "results/own/logs/check_leaks/split/n4-56x56.log"
    log = (run / path).read_text()
    # Where Snakemake stops: the job, its log, and how that ends, once.
    job = f"1 job failed:\n\n  check_leaks split=split frames=n4-56x56\n  {path}\n"
    assert printed.count(job) == 1 and log.splitlines()[-1][:100] in printed.split(job)[1]
    assert "4 leaks" in log or "2 leaks" in log
    assert "(train) and clip patient_03" in log and "frames: clip patient_01" in log
    assert not (run / GATE).exists()


def test_the_same_run_goes_on_where_a_leak_is_reported_and_trains_nothing_again(run: Path) -> None:
    report = [*CONFIG, "--config", "leaks={on_leak: report}"]
    snakemake(run, "results/own/train/one/segment-1", *report)
    assert (run / GATE).is_file()
    # A looser threshold is another gate, and no other training.
    config = yaml.safe_load((run / "own.yaml").read_text())
    (run / "looser.yaml").write_text(yaml.safe_dump(config | {"leaks": {"on_leak": "report", "distance": 6}}))
    looser = planned(snakemake(run, "-n", "results/own/train/one/segment-1", "--configfile", "looser.yaml"))
    assert looser == {"check_leaks": 1}
