"""Asking a model AsyncHow's questions: who is asked, by which method, and what an answer is worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from agentflow.endpoints import Endpoint, Price
from agentflow.plan.methods import Method
from agentflow.plan.planner import Answer, Planner
from agentflow.plan.prompts import question_messages
from agentflow.runtime import Context
from agentflow_bench.asynchow.answer import exact, overlaps, read_answer
from agentflow_bench.asynchow.oracle import OracleModel
from agentflow_bench.asynchow.published import NOTE, published
from agentflow_bench.asynchow.questions import Question
from agentflow_bench.asynchow.wording import Wording
from agentflow_bench.trials import Case, Score, Trials
from agentflow_bench.trials.asked import AskedModel
from agentflow_protocols.chat import Json, Message
from agentflow_protocols.plan import Form

__all__ = ["Asking", "make_endpoint", "trials_of"]


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked, how, and how many questions at once."""

    model: AskedModel
    method: Method
    form: Form
    concurrency: int = 32
    wording: Wording | None = None

    @property
    def about(self) -> dict[str, str]:
        """What names the files that come of it."""
        return {
            "model": self.model.name,
            "method": str(self.method),
            "form": self.form,
            "wording": "" if self.wording is None else self.wording.name,
            "settings": self.model.other_than(0.0),
        }

    def messages(self, question: Question) -> list[Message]:
        """Return what is asked of a question."""
        messages = question_messages(question.task, question.plan, self.method, self.form)
        if self.wording is not None:
            messages[-1] = Message("user", self.wording.words(question, self.form))
        return messages


def make_endpoint(asking: Asking, questions: Sequence[Question]) -> Endpoint:
    """Return the endpoint of a model; `oracle` knows the answers. Raises `UserError`."""
    if asking.model.name == "oracle":
        prompts = ((asking.messages(question)[-1].text, question) for question in questions)
        return Endpoint(OracleModel(prompts), settings=asking.model.settings, price=Price(0.0, 0.0))
    return asking.model.endpoint()


def trials_of(
    asking: Asking, questions: Sequence[Question], endpoint: Endpoint | None = None
) -> Trials[Question]:
    """Return the trials of the questions: each is asked once; its reply is a step of the journal.

    What an answer is worth is judged anew each time, by the answer that is known then.
    """
    planner = Planner(
        endpoint or make_endpoint(asking, questions), method=asking.method, form=asking.form, name="asynchow"
    )

    async def ask(context: Context[object], question: Question) -> Score:
        messages = asking.messages(question)
        answer = await planner.answer(question.task, question.plan, messages=messages, context=context)
        return _score(question, answer, planner.method)

    return Trials(
        "asynchow",
        asking.about,
        [_case(asking, question) for question in questions],
        ask,
        judge=_judge,
        concurrency=1 if asking.model.scripted else asking.concurrency,
        published=published(str(asking.method)),
        note=NOTE,
    )


def _case(asking: Asking, question: Question) -> Case[Question]:
    said = json.dumps([message.to_json() for message in asking.messages(question)])
    by: dict[str, str | int] = {"kind": question.kind, "complexity": question.complexity}
    return Case(question.id, question, by, said)


def _score(question: Question, answer: Answer, method: Method) -> Score:
    parsed = answer.total if method.computed else read_answer(answer.text, last=method.reasons)
    detail: dict[str, Json] = {
        "kind": question.kind,
        "complexity": question.complexity,
        "steps": len(question.plan.steps),
        "prompt": [message.to_json() for message in answer.messages],
        "answer": answer.text,
        "parsed": None if parsed is None else list(parsed),
        "attempts": answer.attempts,
        "problem": answer.fault,
    }
    return Score(False, detail=detail)


def _judge(question: Question, score: Score) -> Score:
    parsed = cast("list[float] | None", score.detail["parsed"])
    found = None if parsed is None else (parsed[0], parsed[1])
    right = overlaps(found, question.gold)
    fault = None if right else "no time in the answer" if found is None else "another time"
    figures = {"exact": exact(found, question.gold)}
    return Score(right, figures, fault, {**score.detail, "gold": list(question.gold)})
