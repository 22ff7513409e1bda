"""Question writing by a model whose server fails in every way we know of, and by a process that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import annotated_clips
from support import SCRIPTS, run_script
from suture import files, records
from suture.records import Rejection, Sample
from talking_server import Call, answer_well, completion, good, send, serving


def flags(where: Path, url: str, *, count: int = 14, **more: object) -> list[object]:
    clips, objects = annotated_clips.write(where / "in", count)
    options: dict[str, object] = {
        "backend": "openai", "base-url": url, "model": "m", "objects": objects, "clips": clips, "tries": 3,
        "output": where / "samples.jsonl", "rejected": where / "rejected.jsonl", "replies": where / "replies.jsonl",
        "quality": where / "quality.json", "request-timeout": 2, "concurrency": 8, "batch-size": 4, **more,
    }  # fmt: skip
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def wrong(call: Call, change: dict[str, Any]) -> bytes:
    return completion(json.dumps(good(call) | change))


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    for _ in range(100_000):
        handler.wfile.write(b" " * 65536)


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    for _ in range(200):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


FAULTS: dict[str, Any] = {
    "Incision": lambda call, handler: send(handler, completion('{"phase": "Incision", "anatomy": [')),
    "Viscoelastic": lambda call, handler: endless(handler),
    "Hydrodissection": lambda call, handler: send(handler, b"busy", 429, Retry_After="0"),
    "Phacoemulsification": lambda call, handler: send(handler, b"<html>Internal Server Error", 500),
    "Lens Implantation": lambda call, handler: drip(handler),
    "Lens Positioning": lambda call, handler: send(handler, wrong(call, {"colour_question": "What colour?"})),
    "Anterior Chamber Flushing": lambda call, handler: send(handler, completion(" " * 4000, "length", 1024)),
}


def always_bad(call: Call, handler: BaseHTTPRequestHandler) -> None:
    FAULTS[call.fact("Phase")](call, handler)


def bad_at_first(call: Call, handler: BaseHTTPRequestHandler) -> None:
    """Each clip meets its fault once; from the second request on the server answers well."""
    if call.number == 0 and "An earlier reply" not in call.user:
        FAULTS[call.fact("Phase")](call, handler)
    else:
        answer_well(call, handler)


def test_what_fails_for_a_time_ends_in_an_answer_for_every_clip(tmp_path: Path) -> None:
    with serving(bad_at_first) as server:
        said = run_script("generate_qa", *flags(tmp_path, server.url))
    made = records.read(tmp_path / "samples.jsonl", Sample)
    assert len(made) == 14
    assert {sample.origin for sample in made} == {"llm"}
    assert "left out: nothing" in said
    quality = files.read_json(tmp_path / "quality.json")
    assert quality["accepted"] == 14
    # A busy, failing, endless or dripping server is asked the same again; a bad answer is asked for anew.
    assert quality["reasons"] == {"cut_off": 2, "not_json": 2, "other_pair": 2}
    assert quality["accepted_at_once"] == 8


def test_what_fails_for_good_ends_in_a_counted_rejection_for_every_clip(tmp_path: Path) -> None:
    options = {"on-failure": "reject", "max-failed": 1, "retries": 1, "tries": 2, "request-timeout": 1}
    with serving(always_bad) as server:
        run_script("generate_qa", *flags(tmp_path, server.url, **options))
    assert records.read(tmp_path / "samples.jsonl", Sample) == []
    left = records.read(tmp_path / "rejected.jsonl", Rejection)
    assert Counter(one.reason for one in left) == {
        "llm_not_json": 2,
        "llm_no_reply": 8,
        "llm_other_pair": 2,
        "llm_cut_off": 2,
    }
    assert all("2 replies refused" in one.detail for one in left)
    # What never came is asked for again; what came and was refused is kept.
    assert len(files.read_jsonl(tmp_path / "replies.jsonl")) == 3 * 2 * 2


def test_the_template_words_what_the_model_cannot(tmp_path: Path) -> None:
    def lies(call: Call, handler: BaseHTTPRequestHandler) -> None:
        if call.fact("Phase") == "Incision":
            send(handler, wrong(call, {"anatomy_answer": "The cornea, the pupil and the iris are visible."}))
        else:
            answer_well(call, handler)

    with serving(lies) as server:
        run_script("generate_qa", *flags(tmp_path, server.url))
        reasons = [call.user for call in server.calls if "An earlier reply" in call.user]
    made = records.read(tmp_path / "samples.jsonl", Sample)
    assert Counter(sample.origin for sample in made) == {"llm": 12, "template": 2}
    assert {sample.phase for sample in made if sample.origin == "template"} == {"Incision"}
    assert len(reasons) == 4
    assert all("iris" in reason for reason in reasons)
    example = files.read_json(tmp_path / "quality.json")["examples"]["unknown_words"][0]
    assert "iris" in example["before"]
    assert example["after_by"] == "template"


def test_too_many_failures_stop_the_run(tmp_path: Path) -> None:
    def silent(call: Call, handler: BaseHTTPRequestHandler) -> None:
        send(handler, completion("I am sorry, but I cannot help with that."))

    with serving(silent) as server:
        said = run_script("generate_qa", *flags(tmp_path, server.url, **{"max-failed": 0.2, "retries": 1}), code=2)
    assert "of 14 clips have no usable reply, 20% may: refusal" in said
    assert not (tmp_path / "samples.jsonl").exists()


def test_a_server_that_is_not_there_is_said_to_be_and_what_there_is_is_kept(tmp_path: Path) -> None:
    with serving() as server:
        run_script("generate_qa", *flags(tmp_path, server.url, count=5))
    made = (tmp_path / "samples.jsonl").read_bytes()
    gone = flags(tmp_path, server.url, count=14, tries=2)
    said = run_script("generate_qa", *gone, code=75)
    assert "5 replies are kept" in said
    assert (tmp_path / "samples.jsonl").read_bytes() == made


def test_a_refused_key_and_an_unknown_field_end_at_once_with_the_way_out(tmp_path: Path) -> None:
    def closed(call: Call, handler: BaseHTTPRequestHandler) -> None:
        send(handler, b'{"error": "invalid key"}', 401)

    with serving(closed) as server:
        said = run_script("generate_qa", *flags(tmp_path, server.url, **{"api-key-env": "MY_KEY"}), code=2)
        assert len(server.calls) <= 8
    assert "invalid key" in said
    assert "MY_KEY" in said


def start(arguments: list[object]) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPTS / "generate_qa.py"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)


def test_a_killed_run_loses_the_open_batch_at_most_and_doubles_nothing(tmp_path: Path) -> None:
    def slow(call: Call, handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.05)
        # Every third clip needs a second attempt: the replay must find its way through these too.
        if call.body["seed"] % 3 == 0:
            send(handler, completion("no JSON"))
        else:
            answer_well(call, handler)

    with serving(slow) as server:
        whole = flags(tmp_path / "whole", server.url, count=60, concurrency=2)
        run_script("generate_qa", *whole)
        want = (tmp_path / "whole" / "samples.jsonl").read_bytes()
        requests = len(server.calls)

        server.calls.clear()
        replies = tmp_path / "killed" / "replies.jsonl"
        arguments = flags(tmp_path / "killed", server.url, count=60, concurrency=2)
        for wanted in (8, 30, 50):
            process = start(arguments)
            while not replies.is_file() or len(replies.read_bytes().splitlines()) < wanted:
                assert process.poll() is None
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        # As if the power had gone while a line was written.
        with replies.open("ab") as handle:
            handle.write(b'{"id": "half')
        run_script("generate_qa", *arguments)
        asked = len(server.calls)

        server.calls.clear()
        run_script("generate_qa", *arguments)
        assert server.calls == []
    assert (tmp_path / "killed" / "samples.jsonl").read_bytes() == want
    ids = [row["id"] for row in files.read_jsonl(replies)]
    assert len(ids) == len(set(ids)) == requests
    # Three kills, each with a batch of 4 and 2 requests under way.
    assert requests <= asked <= requests + 3 * (4 + 2)


def test_a_changed_prompt_is_asked_again_and_a_changed_clip_alone(tmp_path: Path) -> None:
    with serving() as server:
        arguments = flags(tmp_path, server.url)
        run_script("generate_qa", *arguments)
        server.calls.clear()

        table = json.loads((tmp_path / "in" / "objects.json").read_text())
        del table["case_1"]["1"]["objects"][-1]  # the slit knife of the first clip
        (tmp_path / "in" / "objects.json").write_text(json.dumps(table))
        run_script("generate_qa", *arguments)
        assert [call.fact("Surgical instruments") for call in server.calls] == ["none"]

        server.calls.clear()
        (tmp_path / "prompts").mkdir()
        (tmp_path / "prompts" / "styles.txt").write_text("Ask kindly.\n")
        run_script("generate_qa", *arguments, "--prompts", tmp_path / "prompts")
        assert len(server.calls) == 14
        assert {call.fact("Style") for call in server.calls} == {"Ask kindly."}

        server.calls.clear()
        run_script("generate_qa", *arguments, "--revision", "another")
        assert len(server.calls) == 14


def test_facts_of_protected_data_do_not_leave_the_machine(tmp_path: Path) -> None:
    away = flags(tmp_path, "http://198.51.100.7/v1", count=2)
    said = run_script("generate_qa", *away, "--sharing", "credentialed", "--allow-internal", code=2)
    assert "may not go to another machine" in said
    said = run_script("generate_qa", *away, "--sharing", "internal", code=2)
    assert "allow_internal: true" in said
    with serving() as server:
        run_script("generate_qa", *flags(tmp_path, server.url, count=2), "--sharing", "credentialed")
        sent = json.dumps([call.body for call in server.calls])
    assert len(server.calls) == 2
    assert "case_1" not in sent
    assert oct((tmp_path / "replies.jsonl").stat().st_mode)[-3:] == "600"


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with serving() as elsewhere:

        def redirects(call: Call, handler: BaseHTTPRequestHandler) -> None:
            send(handler, b"", 307, Location=f"{elsewhere.url}/chat/completions")

        with serving(redirects) as server:
            said = run_script("generate_qa", *flags(tmp_path, server.url, count=2), code=2)
        assert elsewhere.calls == []
    assert "307" in said
