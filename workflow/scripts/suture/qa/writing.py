"""From facts to samples by a language model: ask, judge, ask again with the reason, then fall back.

A run is a replay: requests follow from the facts and from earlier replies, and
a reply that the journal has is not asked for again. So a killed run goes on
where its last whole batch ended, and comes to the same samples.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from suture.config.qa import LLM
from suture.errors import InputError
from suture.progress import progress
from suture.qa import gate, requests
from suture.qa.base import Facts
from suture.qa.facts import STAGE
from suture.qa.journal import Journal
from suture.qa.prompting import Prompts
from suture.qa.reasons import Problem
from suture.qa.requests import Reply, Request
from suture.qa.samples import sample_of
from suture.qa.template import Template
from suture.qa.terms import Terms
from suture.qa.writers.base import Writer
from suture.records import Rejection, Sample

ORIGIN = "llm"


@dataclass
class Story:
    """What came of one clip: its attempts, and the problems of each that was refused."""

    facts: Facts
    kinds: tuple[str, ...]
    replies: list[Reply] = field(default_factory=list)
    problems: list[tuple[Problem, ...]] = field(default_factory=list)
    sample: Sample | None = None

    @property
    def accepted(self) -> bool:
        return self.sample is not None and self.sample.origin == ORIGIN


@dataclass
class Written:
    """The result of a shard: a story for each clip, in the order of the facts, and what the model took for it."""

    stories: list[Story]
    seconds: float = 0.0
    asked: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def samples(self) -> list[Sample]:
        return [story.sample for story in self.stories if story.sample is not None]

    @property
    def rejections(self) -> list[Rejection]:
        """The clips left out, with the reasons of their last attempt."""
        found = []
        for story in self.stories:
            if story.sample is None and story.problems:
                last = story.problems[-1]
                detail = f"{len(story.problems)} replies refused; the last one: {'; '.join(one.detail for one in last)}"
                where = f"clip {story.facts.clip}"
                reason = f"llm_{last[0].reason}"
                found.append(Rejection(stage=STAGE, reason=reason, case=story.facts.case, where=where, detail=detail))
        return found


def write(
    facts: Sequence[Facts],
    kinds: Sequence[str],
    writer: Writer,
    journal: Journal,
    prompts: Prompts,
    terms: Terms,
    llm: LLM,
    template: Template,
) -> Written:
    """Writes the pairs of each clip.

    Args:
        facts: of the clips.
        kinds: the pairs that are wanted; a clip gets those that its facts settle.
        writer: the language model.
        journal: where its replies are kept.
        prompts: what it is asked.
        terms: the names that answers may speak of.
        llm: retries, limits, and what is done with a clip whose replies were all refused.
        template: words these, with ``on_failure: template``.

    Raises:
        InputError: too many clips have no usable reply.
        ServerGone: the model's server does not answer any more; the journal has what there is.
    """
    done = Written([Story(one, one.kinds(kinds)) for one in facts])
    open_ = [story for story in done.stories if story.kinds]
    total = len(open_)
    for attempt in range(llm.retries + 1):
        wanted = [_request(story, prompts, llm, writer.revision, attempt) for story in open_]
        story_of = {request.id: story for request, story in zip(wanted, open_, strict=True)}
        for reply in _replies(wanted, writer, journal, llm.batch_size, done, attempt):
            story = story_of[reply.id]
            judged = gate.judge(reply, story.facts, story.kinds, terms)
            story.replies.append(reply)
            if judged.turns:
                story.sample = sample_of(story.facts, judged.turns, ORIGIN)
            else:
                story.problems.append(judged.problems)
            _check_share(open_, total, llm)
        open_ = [story for story in open_ if story.sample is None]
    if llm.on_failure == "template":
        for story in open_:
            story.sample = sample_of(story.facts, template.write(story.facts), template.ORIGIN)
    return done


def _request(story: Story, prompts: Prompts, llm: LLM, revision: str, attempt: int) -> Request:
    reasons = [problem.detail for problem in story.problems[-1]] if attempt else []
    return requests.make(story.facts, story.kinds, prompts, llm, revision, attempt=attempt, reasons=reasons)


def _replies(
    wanted: Sequence[Request], writer: Writer, journal: Journal, batch_size: int, done: Written, attempt: int
) -> Iterator[Reply]:
    """Yields the replies that the journal has, then those of the model, each batch of them on the disk first."""
    missing = [request for request in wanted if request.id not in journal.replies]
    for request in wanted:
        if request.id in journal.replies:
            yield journal.replies[request.id]
    if not missing:
        return
    what = "generate_qa" if not attempt else f"generate_qa, again ({attempt})"
    started = time.monotonic()
    answered = progress(writer.write(missing), what=what, total=len(missing), unit="clip")
    for batch in _batches(answered, batch_size):
        # A request without a reply is asked again by the next run.
        journal.add([reply for reply in batch if reply.finish != requests.FAILED])
        done.seconds += time.monotonic() - started
        done.asked += len(batch)
        done.prompt_tokens += sum(reply.prompt_tokens for reply in batch)
        done.completion_tokens += sum(reply.completion_tokens for reply in batch)
        yield from batch
        started = time.monotonic()


def _batches(replies: Iterable[Reply], size: int) -> Iterator[list[Reply]]:
    batch: list[Reply] = []
    for reply in replies:
        batch.append(reply)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _check_share(stories: Sequence[Story], total: int, llm: LLM) -> None:
    """Stops the run as soon as more clips than allowed have had their last attempt refused."""
    failed = [story for story in stories if len(story.problems) > llm.retries]
    if len(failed) > llm.max_failed * total:
        last = failed[-1].problems[-1][0]
        raise InputError(
            f"{len(failed)} of {total} clips have no usable reply, {llm.max_failed:.0%} may: "
            f"{last.reason}, {last.detail}",
            where=f"clip {failed[-1].facts.clip}",
            fix="another model or prompt, structured output, more llm.retries, or a higher llm.max_failed",
        )
