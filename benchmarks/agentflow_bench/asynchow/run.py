"""Asking a model AsyncHow's questions: rows as they come, each kept, so that nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from agentflow.endpoints import Endpoint, Price
from agentflow.errors import UserError
from agentflow.plan.methods import Method
from agentflow.plan.planner import Answer, Planner
from agentflow.plan.prompts import question_messages
from agentflow.runtime import Context, MapStream, Result, Runtime
from agentflow_bench.asynchow.answer import exact, overlaps, read_answer
from agentflow_bench.asynchow.oracle import OracleModel
from agentflow_bench.asynchow.questions import Question
from agentflow_bench.asynchow.wording import Wording
from agentflow_protocols.chat import Message, Settings
from agentflow_protocols.plan import Form
from agentflow_protocols.workflow import FREE_SCHEMES

__all__ = ["Asker", "Asking", "Row", "Tally", "make_endpoint", "slug"]

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked, how, and how many questions at once."""

    model: str
    method: Method
    form: Form
    concurrency: int = 32
    wording: Wording | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: float | None = 0.0
    max_tokens: int | None = None

    @property
    def name(self) -> str:
        """The name of the files that come of it."""
        return self._named(str(self.method))

    @property
    def all_methods(self) -> str:
        """The name of the files that tell of it and of other methods."""
        return self._named("methods")

    def _named(self, method: str) -> str:
        parts = [self.model, method, self.form]
        if self.wording is not None:
            parts.append(self.wording.name)
        how = (self.base_url, self.temperature, self.max_tokens)
        if how != (None, 0.0, None):  # other answers than the usual ones
            parts.append(hashlib.sha256(repr(how).encode()).hexdigest()[:6])
        return "-".join(["asynchow", *map(slug, parts)])

    def messages(self, question: Question) -> list[Message]:
        """Return what is asked of a question."""
        messages = question_messages(question.task, question.plan, self.method, self.form)
        if self.wording is not None:
            messages[-1] = Message("user", self.wording.words(question, self.form))
        return messages


@dataclass(slots=True)
class Tally:
    """The figures so far; rows that were answered in an earlier sitting count too."""

    asked: int = 0
    right: int = 0
    exact: int = 0
    failed: int = 0
    tokens: int = 0
    requests: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    by_kind: dict[str, list[int]] = field(default_factory=dict)
    by_complexity: dict[int, list[int]] = field(default_factory=dict)

    def count(self, row: Mapping[str, object]) -> None:
        """Take a row in."""
        right = bool(row["right"])
        self.asked += 1
        self.right += right
        self.exact += bool(row["exact"])
        self.failed += row["error"] is not None
        self.tokens += cast("int", row["tokens"])
        self.requests += cast("int", row["requests"])
        self.seconds += cast("float", row["seconds"])
        cost = cast("float | None", row["cost"])
        self.cost = None if self.cost is None or cost is None else self.cost + cost
        for table, key in ((self.by_kind, row["kind"]), (self.by_complexity, row["complexity"])):
            pair = cast("dict[object, list[int]]", table).setdefault(key, [0, 0])
            pair[0] += 1
            pair[1] += right

    def as_json(self, asking: Asking, wall_s: float) -> dict[str, object]:
        """Return the figures as data."""

        def shares(table: Mapping[object, Sequence[int]]) -> dict[str, object]:
            order = sorted(table, key=lambda key: (isinstance(key, str), key))
            return {
                str(key): {"n": table[key][0], "right": table[key][1], "share": table[key][1] / table[key][0]}
                for key in order
            }

        return {
            "name": asking.name,
            "model": asking.model,
            "method": str(asking.method),
            "form": asking.form,
            "n": self.asked,
            "right": self.right,
            "exact": self.exact,
            "accuracy": self.right / self.asked if self.asked else None,
            "failed": self.failed,
            "by_kind": shares(cast("Mapping[object, Sequence[int]]", self.by_kind)),
            "by_complexity": shares(cast("Mapping[object, Sequence[int]]", self.by_complexity)),
            "tokens": self.tokens,
            "requests": self.requests,
            "cost": self.cost,
            "wall_s": round(wall_s, 3),
            "seconds_a_question": round(self.seconds / self.asked, 3) if self.asked else None,
        }


def slug(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text.rpartition("/")[2] if ":/" in text else text).strip("_")[:60]


def make_endpoint(asking: Asking, questions: Sequence[Question]) -> Endpoint:
    """Return the endpoint of a model; `oracle` knows the answers. Raises `UserError`."""
    settings = Settings(temperature=asking.temperature, max_tokens=asking.max_tokens)
    if asking.model == "oracle":
        prompts = ((asking.messages(question)[-1].text, question) for question in questions)
        return Endpoint(OracleModel(prompts), settings=settings, price=Price(0.0, 0.0))
    free = asking.model.partition(":")[0] in FREE_SCHEMES
    endpoint = Endpoint(
        asking.model,
        base_url=asking.base_url,
        api_key_env=asking.api_key_env,
        settings=settings,
        price=Price(0.0, 0.0) if free else None,
    )
    endpoint.check()
    return endpoint


class Asker:
    """Asks one question, named by its key; a job for `runtime.map`. `row` is what came of it."""

    def __init__(
        self, asking: Asking, questions: Sequence[Question], endpoint: Endpoint | None = None
    ) -> None:
        self.asking = asking
        if len({question.id for question in questions}) < len(questions):
            raise UserError("two questions have the same id")
        self.questions = {self._key(question): question for question in questions}
        self.planner = Planner(
            endpoint or make_endpoint(asking, questions),
            method=asking.method,
            form=asking.form,
            name="asynchow",
        )
        self.width = 1 if asking.model.startswith("scripted:") else asking.concurrency

    def _key(self, question: Question) -> str:
        """Return a question's key: its id, and what is asked, so that another wording is asked anew."""
        said = json.dumps([message.to_json() for message in self.asking.messages(question)])
        return f"{question.id}.{hashlib.sha256(said.encode()).hexdigest()[:8]}"

    async def __run__(self, context: Context[object], key: str, /) -> Row:
        """Ask the question `key`; each reply is a step of the journal."""
        question = self.questions[key]
        began = context.clock.time()
        messages = self.asking.messages(question)
        answer = await self.planner.answer(question.task, question.plan, messages=messages, context=context)
        return _row(question, answer, self.planner.method, context.clock.time() - began)

    def rows(self, runtime: Runtime) -> MapStream[str, Row]:
        """Return the stream of all results, in the order in which they are answered.

        What the runtime's journal knows is not asked again, but for questions whose endpoint failed.
        """
        return runtime.map(self, list(self.questions), key=lambda key: key, concurrency=self.width)

    def row(self, result: Result[Row]) -> Row:
        """Return the row of a result; one without an answer has an `error`."""
        question = self.questions[str(result.key)]
        if result.error is not None:
            return _failed(question, result.error)
        row = result.output
        parsed = cast("list[float] | None", row["parsed"])
        found = None if parsed is None else (parsed[0], parsed[1])
        return {
            **row,
            **_about(question),
            "right": overlaps(found, question.gold),
            "exact": exact(found, question.gold),
        }


def _row(question: Question, answer: Answer, method: Method, seconds: float) -> Row:
    parsed = answer.total
    if not method.computed:
        parsed = read_answer(answer.text, last=method.reasons)
    return {
        **_about(question),
        "prompt": [message.to_json() for message in answer.messages],
        "answer": answer.text,
        "parsed": None if parsed is None else list(parsed),
        "right": overlaps(parsed, question.gold),
        "exact": exact(parsed, question.gold),
        "attempts": answer.attempts,
        "fault": answer.fault,
        "error": None,
        "tokens": answer.usage.total_tokens,
        "requests": answer.usage.requests,
        "cost": answer.cost,
        "seconds": round(seconds, 4),
    }


def _failed(question: Question, error: BaseException) -> Row:
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    nothing: Row = {"prompt": [], "answer": None, "parsed": None, "right": False, "exact": False}
    spent: Row = {"tokens": 0, "requests": 0, "cost": 0.0, "seconds": 0.0}
    return {**_about(question), **nothing, "attempts": 0, "fault": None, "error": text, **spent}


def _about(question: Question) -> Row:
    return {
        "id": question.id,
        "kind": question.kind,
        "complexity": question.complexity,
        "steps": len(question.plan.steps),
        "gold": list(question.gold),
    }
