"""Reviewer: who looks at one record and says one thing of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

import pydantic

from agentflow.agent import Agent
from agentflow.errors import UserError
from agentflow.review.records import Record
from agentflow.runtime import Context
from agentflow_protocols.chat import Json

if TYPE_CHECKING:
    from agentflow.endpoints import Endpoint
    from agentflow.session import Carrier

__all__ = ["Reviewer", "Screening", "abstraction", "scoring", "title_abstract"]

Look: TypeAlias = Callable[[Context[object], Record, Mapping[str, Json]], Awaitable[object]]


class Screening(pydantic.BaseModel):
    """What a title and abstract reviewer says."""

    reasoning: str = pydantic.Field(description="Why, in a sentence or two.")
    score: int = pydantic.Field(ge=1, le=5, description="1: surely exclude, 3: unsure, 5: surely include.")


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A reviewer by name. `look` is an async function of a Context, a record and the votes so far.

    What it returns is its vote: JSON, or anything that pydantic can write as JSON. `title_abstract`,
    `scoring` and `abstraction` make reviewers of a model, `of_agent` of any agent.
    """

    name: str
    look: Look

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise UserError(f"a reviewer's name is an identifier, not {self.name[:60]!r}")

    @staticmethod
    def of_agent(
        name: str, agent: Agent[object, object], prompt: Callable[[Record, Mapping[str, Json]], str]
    ) -> Reviewer:
        """Return a reviewer that asks an agent `prompt(record, votes)`; its output is the vote."""

        async def look(context: Context[object], record: Record, votes: Mapping[str, Json]) -> object:
            return (await context.run(agent, prompt(record, votes), key="look")).output

        return Reviewer(name, look)


def title_abstract(
    name: str,
    model: Endpoint | Carrier,
    *,
    include: str,
    exclude: str = "",
    fields: Sequence[str] = ("title", "abstract", "keywords"),
) -> Reviewer:
    """Return a reviewer that scores from 1 to 5 whether a record belongs into a review (`Screening`)."""
    criteria = f"Include: {include}" + (f"\nExclude: {exclude}" if exclude else "")
    instructions = (
        "You screen records for a review by title and abstract. Judge by these criteria alone; what the"
        f" record does not say is unknown, not false.\n{criteria}"
    )
    agent = Agent(model, name=name, instructions=instructions, output=Screening)
    return Reviewer.of_agent(name, cast("Agent[object, object]", agent), _told(fields))


def scoring(
    name: str, model: Endpoint | Carrier, *, task: str, scale: Mapping[int, str], fields: Sequence[str] = ()
) -> Reviewer:
    """Return a reviewer that gives a score of a scale, such as `{1: "poor", 2: "fair", 3: "good"}`.

    Its vote is `{"reasoning": …, "score": …}`.
    """
    if len(scale) < 2:
        raise UserError(f"reviewer {name}: a scale has two scores or more")
    steps = "; ".join(f"{score}: {meaning}" for score, meaning in scale.items())
    output = pydantic.create_model(
        "Score",
        reasoning=(str, pydantic.Field(description="Why, in a sentence or two.")),
        score=(int, pydantic.Field(description=steps, json_schema_extra={"enum": list(scale)})),
    )
    agent = Agent(model, name=name, instructions=f"{task}\nScores: {steps}.", output=output)

    async def look(context: Context[object], record: Record, votes: Mapping[str, Json]) -> object:
        told = _told(fields)(record, votes)
        vote = (await context.run(cast("Agent[object, object]", agent), told, key="look")).output
        score = cast("int", getattr(vote, "score", None))
        if score not in scale:
            raise UserError(f"reviewer {name}: {score} is no score of the scale {sorted(scale)}")
        return vote

    return Reviewer(name, look)


def abstraction(
    name: str, model: Endpoint | Carrier, *, wanted: Mapping[str, str], fields: Sequence[str] = ()
) -> Reviewer:
    """Return a reviewer that takes facts out of a record: `wanted` says what each of them is.

    Its vote has a text for each; null where the record does not say it.
    """
    if not wanted:
        raise UserError(f"reviewer {name}: nothing is wanted")
    facts = {fact: (str | None, pydantic.Field(description=about)) for fact, about in wanted.items()}
    output = pydantic.create_model("Facts", **cast("dict[str, tuple[type, object]]", facts))  # type: ignore[call-overload]
    instructions = "Take these facts out of the record. Give null for what it does not say; add nothing."
    agent = Agent(model, name=name, instructions=instructions, output=output)
    return Reviewer.of_agent(name, cast("Agent[object, object]", agent), _told(fields))


def _told(fields: Sequence[str]) -> Callable[[Record, Mapping[str, Json]], str]:
    def prompt(record: Record, votes: Mapping[str, Json]) -> str:
        text = record.as_text(fields)
        if not votes:
            return text
        before = "\n".join(f"{who}: {vote}" for who, vote in votes.items())
        return f"{text}\n\nEarlier reviewers said:\n{before}"

    return prompt
