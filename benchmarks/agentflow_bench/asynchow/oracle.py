"""The model that knows: it answers by the longest path of the gold graph, to prove all but the thinking."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from agentflow.endpoints import ReplyStream
from agentflow.errors import LocalProtocolError
from agentflow.runtime.resources import Resources
from agentflow_bench.asynchow.questions import Question
from agentflow_protocols.chat import ChatRequest, Delta, Message, Reply, TextPiece, Usage
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.duration import format_seconds, seconds_range
from agentflow_protocols.errors import RemoteProtocolError
from agentflow_protocols.plan import PlanText, encode_lines, to_json

__all__ = ["OracleModel", "longest_words"]

_UNITS = {
    seconds_range(f"1 {unit}"): unit for unit in ("year", "month", "week", "day", "hour", "minute", "second")
}


class OracleModel:
    """Answers the prompts that it was told with their questions."""

    name = "oracle"
    capabilities = Capabilities(images=False, files=False)

    def __init__(self, questions: Iterable[tuple[str, Question]]) -> None:
        self._questions: Mapping[str, Question] = dict(questions)

    def open(self, request: ChatRequest, resources: Resources) -> ReplyStream:
        """Return the answer to a prompt. Needs no `resources`."""
        asked = request.messages[-1].text
        question = self._questions.get(asked)
        if question is None:
            text = "I only know the questions that I was told."
        elif request.output is not None:
            text = json.dumps(to_json(question.plan))
        elif "(DURATION) <- NUMBER" in asked:
            text = encode_lines(question.plan)
        else:
            text = f'The shortest possible time is "{longest_words(question.plan)}".'
        return _Told(text, sum(len(message.text) for message in request.messages))


def longest_words(plan: PlanText) -> str:
    """Return the longest path of a plan as the sum of its words, months and years kept: `1 year 2 months`."""
    after = plan.after()
    seconds = {step.name: step.seconds for step in plan.steps}
    words = {step.name: step.duration for step in plan.steps}
    ends: dict[str, tuple[float, float, tuple[str, ...]]] = {}
    left = list(plan.names)
    while left:
        for name in [one for one in left if all(a in ends for a in after[one])]:
            before = max((ends[a] for a in after[name]), default=(0.0, 0.0, ()))
            ends[name] = (before[0] + seconds[name][1], before[1] + seconds[name][0], (*before[2], name))
            left.remove(name)
    path = max(ends.values())[2]
    return _sum([words[name] for name in path])


def _sum(durations: list[str]) -> str:
    """Return durations added up, each unit for itself where their words are numbers and units."""
    counts = dict.fromkeys(_UNITS.values(), 0.0)
    for words in durations:
        parts = words.split()
        for number, unit in zip(parts[::2], parts[1::2], strict=False):
            try:
                counts[_UNITS[seconds_range(f"1 {unit}")]] += float(number)
            except (RemoteProtocolError, ValueError, KeyError):
                return format_seconds(sum(seconds_range(one)[1] for one in durations))
    told = [f"{count:.10g} {unit}{'' if count == 1 else 's'}" for unit, count in counts.items() if count]
    return " ".join(told) or "0 seconds"


class _Told:
    """One answer, as a stream of one piece."""

    def __init__(self, text: str, read: int) -> None:
        self._piece: str | None = text
        self._whole = Reply(
            Message("assistant", text), Usage(read // 4, len(text) // 4, requests=1), "stop", "oracle"
        )

    @property
    def reply(self) -> Reply:
        """The whole answer; there once it was read."""
        if self._piece is not None:
            raise LocalProtocolError("a reply was asked for before its end")
        return self._whole

    def __aiter__(self) -> _Told:
        return self

    async def __anext__(self) -> Delta:
        if self._piece is None:
            raise StopAsyncIteration
        text, self._piece = self._piece, None
        return TextPiece(text)

    async def aclose(self) -> None:
        """End it."""
        self._piece = None
