"""Requests and their ids, prompts, the journal of replies, whose facts may leave, and the quality that is told."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gate_report import NAMES, TERMS
from support import make_clip
from suture.config.qa import LLM, QA
from suture.errors import ConfigError, InputError
from suture.qa import facts, prompting, quality, requests, scenes, schema, server, sharing, writing
from suture.qa.base import Facts, Relations
from suture.qa.journal import Journal
from suture.qa.requests import Reply, Request
from suture.qa.template import Template, count_answer, order_answer
from suture.qa.writers import vllm
from suture.qa.writers.openai import OpenAIWriter, _asked_wait
from suture.records import Sample, Turn
from talking_server import Behaviour, Call, completion, good, send, serving

FACTS = Facts(
    clip="case_1_0", case="case_1", phase="Viscoelastic", anatomy=("Cornea",), instruments=(), before="Incision",
    relations=Relations(reference="Cornea", directions=()),
)  # fmt: skip
KINDS = ("phase", "anatomy", "instruments")


def prompts(folder: Path | None = None, **options: Any) -> prompting.Prompts:
    return prompting.Prompts(folder, NAMES, TERMS.phases, **options)


# --- requests --------------------------------------------------------------------------------------------------------


def request(one: Facts = FACTS, kinds: Sequence[str] = KINDS, *, revision: str = "r", **llm: Any) -> Request:
    return requests.make(one, kinds, prompts(), LLM(**{"model": "m", **llm}), revision)


def test_an_id_is_a_digest_of_all_that_a_reply_depends_on_and_of_nothing_else() -> None:
    same = [
        request(),
        request(base_url="http://127.0.0.1/v1"),
        request(concurrency=2),
        request(retries=9),
        request(model="models/m/"),
    ]
    assert len({one.id for one in same}) == 1
    assert len(same[0].id) == 64
    other = [
        request(revision="s"),
        request(temperature=0.7),
        request(max_new_tokens=100),
        request(seed=1),
        request(structured_output=False),
        request(kinds=KINDS[:2]),
        request(dataclasses.replace(FACTS, anatomy=("Pupil",))),
        request(dataclasses.replace(FACTS, clip="case_1_1")),
        request(dataclasses.replace(FACTS, before="Capsulorhexis")),
        requests.make(FACTS, KINDS, prompts(), LLM(model="m"), "r", attempt=1, reasons=["it was empty"]),
        requests.make(FACTS, KINDS, prompts(), LLM(model="m"), "r", attempt=1),
    ]
    assert len({one.id for one in (*same, *other)}) == 1 + len(other)
    assert request().seed == 1530697582  # settled for good: of sha256("42/case_1_0/0")


def test_what_all_clips_share_comes_first_and_no_name_of_a_clip_is_told() -> None:
    others = dataclasses.replace(FACTS, clip="case_7_9", case="case_7", phase="Incision", anatomy=("Pupil", "Lens"))
    first, second = (prompts(wordings=4).messages(one, ("phase", "spatial", "order")) for one in (FACTS, others))
    assert first[0] == second[0]
    assert [one["role"] for one in first] == ["system", "user"]
    text = json.dumps([first, second])
    assert "case_" not in text
    assert "Phase before: Incision" in first[1]["content"]
    assert "relative to the Cornea, as seen in the image: no instrument is visible" in first[1]["content"]
    again = prompts().messages(FACTS, KINDS, ["it names Lens", "it had 12 in it"])[1]["content"]
    assert again.startswith(prompts().messages(FACTS, KINDS)[1]["content"])
    assert again.endswith("refused: it names Lens; it had 12 in it. Write all the pairs again, without that.")


def test_templates_of_one_s_own_replace_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "clip.txt").write_text("{{ facts.phase }} {{ style }}")
    (tmp_path / "styles.txt").write_text("gently\n")
    system, user = prompts(tmp_path).messages(FACTS, KINDS)
    assert user["content"] == "Viscoelastic gently"
    assert system == prompts().messages(FACTS, KINDS)[0]
    with pytest.raises(ConfigError, match=r"styles\.txt has 1 lines"):
        prompts(tmp_path, wordings=2)
    (tmp_path / "clip.txt").write_text("{{ clip.name }}")
    with pytest.raises(InputError, match="asks for what there is not"):
        prompts(tmp_path).messages(FACTS, KINDS)
    (tmp_path / "clip.txt").write_text("{% if %}")
    with pytest.raises(InputError, match="not a prompt template"):
        prompts(tmp_path)


# --- journal ---------------------------------------------------------------------------------------------------------


def test_a_journal_keeps_whole_lines_cuts_a_half_one_off_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "work" / "replies.jsonl"
    one, two = Reply("a", "texte\u2028é", "stop", 3, 4), Reply("b", "", "length")
    with Journal(path) as journal:
        journal.add([one, one])
        journal.add([one, two])
    assert len(path.read_bytes().splitlines()) == 2
    with path.open("ab") as handle:
        handle.write(b'{"id": "c", "te')
    with Journal(path) as journal:
        assert journal.cut_off == 15
        assert journal.replies == {"a": one, "b": two}
        journal.add([Reply("c", "", "stop")])
        with pytest.raises(InputError, match="another job"):
            Journal(path)
    with Journal(path) as journal:
        assert list(journal.replies) == ["a", "b", "c"]
    path.write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match="not a reply") as caught:
        Journal(path)
    assert str(caught.value.where).endswith("replies.jsonl:1")


# --- the loop --------------------------------------------------------------------------------------------------------


class Parrot:
    """Says what it was taught to, in turn; then what the template would."""

    revision = "parrot"

    def __init__(self, *said: str) -> None:
        self.said = list(said)
        self.asked: list[Request] = []

    def write(self, requests: Sequence[Request]) -> Iterator[Reply]:
        for one in reversed(requests):
            self.asked.append(one)
            yield Reply(one.id, self.said.pop(0) if self.said else right(), "stop", 10, 5)


def right() -> str:
    said = dict(schema.echo(FACTS))
    for turn in Template(KINDS).write(FACTS):
        said |= dict(zip(schema.keys(turn.kind), (turn.question, turn.answer), strict=True))
    return json.dumps(said)


def written(tmp_path: Path, parrot: Parrot, count: int = 1, **llm: Any) -> writing.Written:
    many = [dataclasses.replace(FACTS, clip=f"case_1_{n}") for n in range(count)]
    with Journal(tmp_path / "replies.jsonl") as journal:
        return writing.write(
            many, KINDS, parrot, journal, prompts(), TERMS, LLM(model="m", **llm), Template(KINDS)
        )  # fmt: skip


def test_a_refused_answer_is_asked_for_again_with_the_reason_a_bounded_number_of_times(tmp_path: Path) -> None:
    parrot = Parrot("no", right().replace("Cornea", "Iris"))
    done = written(tmp_path, parrot, retries=2)
    assert [one.attempt for one in parrot.asked] == [0, 1, 2]
    assert "it was not JSON" in parrot.asked[1].messages[1]["content"]
    assert "iris" in parrot.asked[2].messages[1]["content"]
    assert len({one.seed for one in parrot.asked}) == 3
    assert done.samples[0].origin == "llm"
    told = quality.of_shard(done, backend="b", model="m", revision="r", prices=(2.0, 4.0))
    assert (told["accepted"], told["accepted_at_once"], told["replies"], told["refused_replies"]) == (1, 0, 3, 2)
    assert told["reasons"]["not_json"] == 1
    assert told["cost"] == pytest.approx((30 * 2.0 + 15 * 4.0) / 1e6)


def test_a_second_run_replays_the_first_without_a_request(tmp_path: Path) -> None:
    first = written(tmp_path, Parrot("no", "never", "not"), count=9, retries=2)
    parrot = Parrot("no")
    again = written(tmp_path, parrot, count=9, retries=2)
    assert parrot.asked == []
    assert again.samples == first.samples
    assert [story.problems for story in again.stories] == [story.problems for story in first.stories]


def test_what_is_never_right_falls_to_the_template_or_is_left_out_or_stops_the_run(tmp_path: Path) -> None:
    done = written(tmp_path / "a", Parrot(*["no"] * 3), max_failed=1.0)
    assert [sample.origin for sample in done.samples] == ["template"]
    assert done.rejections == []
    done = written(tmp_path / "b", Parrot(*["no"] * 3), max_failed=1.0, on_failure="reject")
    assert done.samples == []
    assert [(one.reason, one.where) for one in done.rejections] == [("llm_not_json", "clip case_1_0")]
    with pytest.raises(InputError, match="1 of 1 clips have no usable reply, 50% may: not_json"):
        written(tmp_path / "c", Parrot(*["no"] * 3))


# --- quality ---------------------------------------------------------------------------------------------------------


def sample(name: str, question: str, answer: str) -> Sample:
    turn = Turn(question=question, answer=answer, kind="phase")
    return Sample(id=name, case="c", clip=name, phase="p", turns=(turn,), origin="llm")


def test_variety_says_what_the_questions_alone_give_away() -> None:
    told = quality.variety(
        [
            sample("a", "Which phase is shown?", "It is A."),
            sample("b", "which phase is shown", "It is A."),
            sample("c", "Which phase is shown?", "It is B."),
            sample("d", "What step of the surgery does the surgeon perform?", "It is C."),
        ]
    )["phase"]
    assert told["distinct_questions"] == 2
    assert told["near_duplicate_questions"] == 0.5
    assert told["majority_accuracy"] == 0.5
    assert told["question_only_accuracy"] == 0.75
    assert told["most_frequent_answers"][0] == {"answer": "it is a", "share": 0.5}


def test_shards_add_up(tmp_path: Path) -> None:
    parts = [
        quality.of_shard(
            written(tmp_path / name, Parrot(*said), max_failed=1.0), backend="b", model="m", revision="r", prices=(1, 1)
        )
        for name, said in (("a", ["no"]), ("b", ["no", "no", "no"]))
    ]
    told = quality.merge(parts, [])
    assert (told["clips"], told["accepted"], told["by_template"], told["replies"]) == (2, 1, 1, 5)
    assert told["reasons"] == {"not_json": 4}
    assert len(told["examples"]["not_json"]) == 3
    assert quality.merge([], [sample("a", "q", "a")])["samples"] == 1


# --- whose facts may leave, and where to -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "url", "allow", "refused"),
    [
        ("open", "https://api.example.org/v1", False, False),
        ("internal", "https://api.example.org/v1", False, True),
        ("internal", "https://api.example.org/v1", True, False),
        ("credentialed", "https://api.example.org/v1", True, True),
        ("credentialed", "http://127.0.0.1:8000/v1", False, False),
        ("credentialed", "http://[::1]:8000/v1", False, False),
        ("credentialed", "http://localhost/v1", False, False),
        ("credentialed", "http://localhost.example.org/v1", True, True),
        ("credentialed", "http://127.0.0.1.example.org/v1", True, True),
        ("credentialed", "http://127.0.0.1@example.org/v1", True, True),
        ("credentialed", "http://0.0.0.0.example/v1", True, True),
        ("credentialed", None, False, False),
    ],
)
def test_facts_go_where_the_data_may(data: Any, url: str | None, allow: bool, refused: bool) -> None:
    assert (sharing.refusal(data, LLM(model="m", base_url=url, allow_internal=allow)) is not None) == refused


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"backend": "openai"}, "goes with backend"),
        ({"llm": {"model": "m"}}, "goes with backend"),
        ({"backend": "openai", "llm": {"model": "m"}}, "either `base_url`"),
        ({"backend": "vllm", "llm": {"model": "a/b"}}, "needs its commit"),
        ({"backend": "transformers", "llm": {"model": "m", "base_url": "http://x"}}, "are of backend openai"),
        ({"backend": "openai", "llm": {"model": "m", "base_url": "http://x", "api_key": "sk-1"}}, "Extra inputs"),
        ({"wordings": 3, "first_wording": 2}, "there are 4"),
        ({"backend": "existing", "existing": "f", "first_wording": 1}, "would be ignored"),
    ],
)
def test_a_model_that_cannot_be_meant_so_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        QA(**given)


def endless(call: Call, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    for _ in range(1000):
        handler.wfile.write(b" " * 65536)


def drip(call: Call, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    for _ in range(60):
        handler.wfile.write(b" ")
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("behave", "seconds", "said"), [(endless, 60, "longer than 4 MiB"), (drip, 1, "no end of the reply after 1 s")]
)
def test_a_reply_without_an_end_is_given_up(behave: Behaviour, seconds: float, said: str) -> None:
    with serving(behave) as one:
        writer = OpenAIWriter(LLM(model="m", tries=1, request_timeout=seconds), one.url)
        began = time.monotonic()
        (reply,) = writer.write([request()])
    assert time.monotonic() - began < 5
    assert reply.finish == requests.FAILED
    assert said in reply.text


def test_a_cap_of_tokens_that_the_server_ignores_is_kept_all_the_same() -> None:
    with serving(lambda call, handler: send(handler, completion(json.dumps(good(call)), tokens=2000))) as one:
        (reply,) = OpenAIWriter(LLM(model="m"), one.url).write([request()])
    assert (reply.finish, reply.prompt_tokens, reply.completion_tokens) == (requests.LENGTH, 500, 2000)


def test_how_long_a_busy_server_asks_to_wait() -> None:
    assert _asked_wait("7") == 7
    assert _asked_wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _asked_wait("soon") is None
    assert _asked_wait(None) is None
    assert (_asked_wait("Fri, 31 Dec 2100 23:59:59 GMT") or 0) > 3000


def test_vllm_is_told_to_keep_to_the_schema_without_white_space_and_to_cache_prefixes() -> None:
    words = vllm.command(LLM(model="o/m", revision="c0ffee", vllm="/opt/vllm", vllm_options="-tp 2", seed=7))
    assert words[:3] == ["/opt/vllm", "serve", "o/m"]
    assert words[-2:] == ["-tp", "2"]
    options = dict(itertools.pairwise(words))
    assert json.loads(options["--structured-outputs-config"])["disable_any_whitespace"] is True
    assert options["--revision"] == "c0ffee"
    assert options["--host"] == "127.0.0.1"
    assert "--enable-prefix-caching" in words


def test_a_server_that_does_not_start_is_said_to(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with pytest.raises(ConfigError, match="cannot be started"), server.running(["no-such"], log, start_timeout=5):
        pass
    command = [sys.executable, "-c", "raise SystemExit('no GPU')"]
    with (
        pytest.raises(InputError, match="ended with 1 before it was ready: no GPU"),
        server.running(command, log, start_timeout=20),
    ):
        pass


# --- order and counts ------------------------------------------------------------------------------------------------


def test_the_phase_before_is_the_last_other_one_of_the_case() -> None:
    phases = ["Incision", "idle", "Viscoelastic", "Viscoelastic", "idle", "Viscoelastic", "Capsulorhexis"]
    clips = [make_clip(id=f"c{at}", phase=phase, start_s=5.0 * at) for at, phase in enumerate(phases)]
    found, _ = facts.gather(
        clips,
        [scenes.ClipScene("case_1", at, phase, f"c{at}", "i", ()) for at, phase in enumerate(phases)],
        NAMES,
        with_before=True,
    )
    assert [one.before for one in found] == ["", "Incision", "Incision", "Incision", "Viscoelastic"]


def test_order_and_counts_are_worded() -> None:
    turns = Template(["order", "counts", "phase"]).write(FACTS)
    assert [turn.kind for turn in turns] == ["phase", "order", "counts"]
    assert turns[1].answer == "The phase before was Incision."
    assert turns[2].answer == "No kinds of surgical instrument are visible."
    assert order_answer("") == "No phase came before: this is the first one."
    assert count_answer(1) == "One kind of surgical instrument is visible."
    assert Template(["order"]).write(dataclasses.replace(FACTS, before=None)) == ()


def test_other_wordings_make_a_test_set_that_was_never_read() -> None:
    many = [dataclasses.replace(FACTS, clip=f"clip {n}") for n in range(40)]
    trained, tested = (
        {turn.question for one in many for turn in Template(KINDS, 2, first=first).write(one)} for first in (0, 2)
    )
    assert len(trained) == len(tested) == 6
    assert not trained & tested
    with pytest.raises(ConfigError, match="there are 4"):
        Template(KINDS, 2, first=3)
