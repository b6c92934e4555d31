"""Reviewer: who looks at one record and says one thing of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, cast

import pydantic
from typing_extensions import TypedDict

from agentflow.agent import Agent
from agentflow.agent.output import Invalid, OutputType
from agentflow.errors import UserError
from agentflow.review.records import Record, near
from agentflow.runtime import Context
from agentflow.runtime.ledger import digest
from agentflow_protocols.chat import Json, Settings

if TYPE_CHECKING:
    from agentflow.endpoints import Endpoint
    from agentflow.session import Carrier

__all__ = [
    "SCREENED",
    "Answer",
    "Example",
    "Reviewer",
    "Screening",
    "abstraction",
    "abstraction_type",
    "decision",
    "decision_type",
    "scoring",
    "scoring_type",
    "title_abstract",
    "vote_fault",
]

Look: TypeAlias = Callable[[Context[object], Record, Mapping[str, Json]], Awaitable[object]]
Answer: TypeAlias = type[object]

SCREENED = ("title", "abstract", "keywords")
"""The fields that a title and abstract reviewer is told unless it names others."""

_WHY = "Why, in a sentence or two."

# An API that can is held to just these fields; where a model says more all the same, that is left out.
_CLOSED = pydantic.ConfigDict(json_schema_extra={"additionalProperties": False})


class Screening(pydantic.BaseModel):
    """What a title and abstract reviewer says."""

    model_config = _CLOSED

    reasoning: str = pydantic.Field(description=_WHY)
    score: int = pydantic.Field(ge=1, le=5, description="1: surely exclude, 3: unsure, 5: surely include.")


@dataclass(frozen=True, slots=True)
class Example:
    """A record, as its fields, and the vote that is right for it, as a reviewer of a model is shown them."""

    record: Mapping[str, Json]
    vote: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A reviewer by name. `look` is an async function of a Context, a record and the votes so far.

    What it returns is its vote: JSON, or anything that pydantic can write as JSON. `title_abstract`,
    `scoring`, `decision` and `abstraction` make reviewers of a model, `of_agent` of any agent. `fields`
    are those that it reads, all where none are named. `version` names what it goes by: a run that goes
    on asks a reviewer anew whose version has changed.
    """

    name: str
    look: Look
    fields: tuple[str, ...] = ()
    version: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise UserError(f"a reviewer's name is an identifier, not {self.name[:60]!r}")

    @staticmethod
    def of_agent(
        name: str,
        agent: Agent[object, object],
        prompt: Callable[[Record, Mapping[str, Json]], str],
        *,
        fields: Sequence[str] = (),
        version: str = "",
    ) -> Reviewer:
        """Return a reviewer that asks an agent `prompt(record, votes)`; its output is the vote."""

        async def look(context: Context[object], record: Record, votes: Mapping[str, Json]) -> object:
            return (await context.run(agent, prompt(record, votes), key="look")).output

        return Reviewer(name, look, tuple(fields), version)


def title_abstract(
    name: str,
    model: Endpoint | Carrier,
    *,
    include: str,
    exclude: str = "",
    fields: Sequence[str] = SCREENED,
    background: str = "",
    examples: Sequence[Example] = (),
    settings: Settings | None = None,
) -> Reviewer:
    """Return a reviewer that scores from 1 to 5 whether a record belongs into a review (`Screening`).

    `background` is told beside the criteria; `examples` show records and their right votes.
    """
    criteria = f"Include: {include}" + (f"\nExclude: {exclude}" if exclude else "")
    task = (
        "You screen records for a review by title and abstract. Judge by these criteria alone; what the"
        f" record does not say is unknown, not false.\n{criteria}"
    )
    return _of_model(name, model, task, Screening, fields, background, examples, settings)


def scoring(
    name: str,
    model: Endpoint | Carrier,
    *,
    task: str,
    scale: Mapping[int, str],
    fields: Sequence[str] = (),
    background: str = "",
    examples: Sequence[Example] = (),
    settings: Settings | None = None,
) -> Reviewer:
    """Return a reviewer that gives a score of a scale, such as `{1: "poor", 2: "fair", 3: "good"}`.

    Its vote is `{"reasoning": …, "score": …}`.
    """
    if len(scale) < 2:
        raise UserError(f"reviewer {name}: a scale has two scores or more")
    told = f"{task}\nScores: {_steps(scale)}."
    return _of_model(name, model, told, scoring_type(scale), fields, background, examples, settings)


def decision(
    name: str,
    model: Endpoint | Carrier,
    *,
    task: str,
    options: Mapping[str, str],
    fields: Sequence[str] = (),
    background: str = "",
    examples: Sequence[Example] = (),
    settings: Settings | None = None,
) -> Reviewer:
    """Return a reviewer that decides for one of some options: each by its name, with its meaning.

    Its vote is `{"reasoning": …, "decision": …}`.
    """
    if len(options) < 2:
        raise UserError(f"reviewer {name}: a decision is between two options or more")
    told = f"{task}\nDecisions: {_steps(options)}."
    return _of_model(name, model, told, decision_type(options), fields, background, examples, settings)


def abstraction(
    name: str,
    model: Endpoint | Carrier,
    *,
    wanted: Mapping[str, str],
    fields: Sequence[str] = (),
    background: str = "",
    examples: Sequence[Example] = (),
    settings: Settings | None = None,
) -> Reviewer:
    """Return a reviewer that takes facts out of a record: `wanted` says what each of them is.

    Its vote has a text for each; null where the record does not say it.
    """
    if not wanted:
        raise UserError(f"reviewer {name}: nothing is wanted")
    told = "Take these facts out of the record. Give null for what it does not say; add nothing."
    return _of_model(name, model, told, abstraction_type(wanted), fields, background, examples, settings)


def scoring_type(scale: Mapping[int, str]) -> Answer:
    """Return the type of a vote by a scale."""
    allowed = Annotated[Literal[tuple(scale)], pydantic.BeforeValidator(_whole)]  # type: ignore[valid-type]
    return _answer("Score", {"reasoning": (str, _WHY), "score": (allowed, _steps(scale))})


def decision_type(options: Mapping[str, str]) -> Answer:
    """Return the type of a vote for one of some options."""
    chosen: object = Literal[tuple(options)]
    return _answer("Decision", {"reasoning": (str, _WHY), "decision": (chosen, _steps(options))})


def abstraction_type(wanted: Mapping[str, str]) -> Answer:
    """Return the type of a vote of facts."""
    return _answer("Facts", {fact: (str | None, about) for fact, about in wanted.items()})


def _answer(name: str, fields: Mapping[str, tuple[object, str]]) -> Answer:
    """Return the type of an object with these fields, of any names, each with its type and its meaning."""
    annotated = {
        field: Annotated[kind, pydantic.Field(description=meaning)]
        for field, (kind, meaning) in fields.items()
    }
    made = cast("type[object]", TypedDict(name, annotated))  # type: ignore[operator]
    made.__pydantic_config__ = _CLOSED  # type: ignore[attr-defined]
    return made


def vote_fault(answer: Answer, vote: Mapping[str, Json]) -> str | None:
    """Return what is wrong with a vote of this type, None when it is one."""
    output = OutputType[object](answer)
    names = cast("Mapping[str, Json]", (output.schema or {}).get("properties", {}))
    unknown = next((name for name in vote if name not in names), None)
    if unknown is not None:
        return f"it has no `{unknown[:60]}`; allowed: {', '.join(names)}{near(unknown, names)}"
    try:
        output.read(json.dumps(vote))
    except Invalid as fault:
        return str(fault)
    return None


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and value.strip().lstrip("-").isdecimal() else value


def _steps(meanings: Mapping[int, str] | Mapping[str, str]) -> str:
    return "; ".join(f"{each}: {meaning}" for each, meaning in meanings.items())


def _of_model(
    name: str,
    model: Endpoint | Carrier,
    task: str,
    answer: Answer,
    fields: Sequence[str],
    background: str,
    examples: Sequence[Example],
    settings: Settings | None,
) -> Reviewer:
    told = [task]
    if background:
        told.append(f"Background: {background}")
    for example in examples:
        if (fault := vote_fault(answer, example.vote)) is not None:
            raise UserError(f"reviewer {name}: the vote of an example is none: {fault}")
        shown = Record("", example.record).as_text(fields)
        told.append(f"An example:\n{shown}\nIts answer: {json.dumps(example.vote, ensure_ascii=False)}")
    instructions = "\n\n".join(told)
    agent = Agent[object, object](
        model, name=name, instructions=instructions, output=answer, settings=settings
    )
    schema = json.dumps(agent.output.schema, sort_keys=True)
    return Reviewer.of_agent(
        name,
        agent,
        _told(fields),
        fields=fields,
        version=digest(instructions, schema, "\n".join(fields)),
    )


def _told(fields: Sequence[str]) -> Callable[[Record, Mapping[str, Json]], str]:
    def prompt(record: Record, votes: Mapping[str, Json]) -> str:
        text = record.as_text(fields)
        if not votes:
            return text
        before = "\n".join(f"{who}: {json.dumps(vote, ensure_ascii=False)}" for who, vote in votes.items())
        return f"{text}\n\nEarlier reviewers said:\n{before}"

    return prompt
