"""Hypothesis: what a co-scientist compares; and the forms in which its agents answer."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

__all__ = [
    "Argument",
    "Assessment",
    "Assumptions",
    "Checked",
    "Contact",
    "Critique",
    "Direction",
    "Hypothesis",
    "Idea",
    "Ideas",
    "Observation",
    "Observations",
    "Overview",
    "ResearchPlan",
    "Reviewed",
    "Safety",
    "Simulated",
]

CRITERIA = (
    "it answers the goal",
    "it is plausible",
    "it is new",
    "it can be tested",
    "it can be pursued safely",
)

_TITLE, _TEXT, _SOURCES = 200, 8_000, 50  # characters of a title, of a text; sources


def _close(schema: dict[str, JsonValue]) -> None:
    """Ask for just these fields, and for all of them; a reader does without those that have a default."""
    properties = schema.get("properties")
    if isinstance(properties, dict):
        schema["additionalProperties"] = False
        schema["required"] = list(properties)
        for each in properties.values():
            if isinstance(each, dict):
                each.pop("default", None)


class _Form(BaseModel):
    """A form of answers, such that APIs can hold models to it."""

    model_config = ConfigDict(json_schema_extra=_close)


class Hypothesis(BaseModel):
    """A hypothesis: what it claims, why that may be so, how to test it, and where it comes from.

    `parents` are ids of those it was made of, `method` how it was made.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    statement: str
    mechanism: str = ""
    test: str = ""
    sources: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    method: str = "given"

    @property
    def id(self) -> str:
        """A hash of what it claims."""
        text = f"{self.title.strip().lower()}\n{self.statement.strip().lower()}"
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def as_text(self) -> str:
        """Return it as an agent reads it."""
        lines = [self.title, self.statement]
        lines += [f"Mechanism: {self.mechanism}"] if self.mechanism else []
        lines += [f"Test: {self.test}"] if self.test else []
        lines += [f"Sources: {'; '.join(self.sources)}"] if self.sources else []
        return "\n".join(lines)


class ResearchPlan(_Form):
    """What a goal in plain words comes to."""

    objective: str = Field(description="What is to be found, in one sentence.")
    preferences: list[str] = Field([], description="What a good hypothesis should be like.")
    attributes: list[str] = Field([], description="What each hypothesis has to state.")
    constraints: list[str] = Field([], description="What it must not need or do.")
    criteria: list[str] = Field(list(CRITERIA), description="By what hypotheses are compared.")

    def as_text(self) -> str:
        """Return it as an agent reads it."""
        lines = [f"Objective: {self.objective}"]
        for name in ("preferences", "attributes", "constraints", "criteria"):
            if values := getattr(self, name):
                lines.append(f"{name.capitalize()}: {'; '.join(values)}")
        return "\n".join(lines)


class Idea(_Form):
    """A hypothesis as an agent writes it."""

    title: str = Field(description="A few words.")
    statement: str = Field(description="What is claimed, specific enough to be wrong.")
    mechanism: str = Field("", description="Why it may be so.")
    test: str = Field("", description="An experiment or analysis that could refute it.")
    sources: list[str] = Field([], description="What it rests on; only what was found or is surely known.")

    def made(self, method: str, parents: tuple[str, ...] = ()) -> Hypothesis:
        """Return it as a hypothesis; what goes on and on is cut, and without a title it has its beginning."""
        statement = self.statement.strip()[:_TEXT]
        return Hypothesis(
            title=" ".join(self.title.split())[:_TITLE] or " ".join(statement.split())[:_TITLE],
            statement=statement,
            mechanism=self.mechanism.strip()[:_TEXT],
            test=self.test.strip()[:_TEXT],
            sources=tuple(source[:_TEXT] for source in self.sources[:_SOURCES]),
            parents=parents,
            method=method,
        )


class Ideas(_Form):
    """New hypotheses."""

    hypotheses: list[Idea]

    def said(self) -> list[Idea]:
        """Return those that claim something."""
        return [idea for idea in self.hypotheses if idea.statement.strip()]


class Argument(_Form):
    """A turn of a debate among experts."""

    argument: str = Field(description="What the next expert says, by name of the field.")
    settled: bool = Field(description="Whether the experts have agreed, so that no turn has to follow.")


class Assumptions(_Form):
    """What has to be true for something to hold, each by itself."""

    assumptions: list[str]


class Safety(_Form):
    """Whether something may be pursued."""

    safe: bool = Field(description="False if it could help to do serious harm, or must not be researched.")
    why: str


class Assessment(_Form):
    """A first look at a hypothesis."""

    viable: bool = Field(description="False only if it misses the goal, contradicts itself or says nothing.")
    why: str = Field(description="Strengths and weaknesses by the criteria, in a few sentences.")


class Reviewed(_Form):
    """A full review of a hypothesis."""

    summary: str = Field(description="Is it right, new and well grounded? By the criteria.")
    known: list[str] = Field([], description="Which parts are known already, and where from.")
    weaknesses: list[str] = Field([], description="What is wrong, unclear or missing.")
    sources: list[str] = Field([], description="What this rests on.")

    def as_text(self) -> str:
        """Return it as an agent reads it."""
        lines = [self.summary]
        for name in ("known", "weaknesses", "sources"):
            if values := getattr(self, name):
                lines.append(f"{name.capitalize()}: {'; '.join(values)}")
        return "\n".join(lines)


class Checked(_Form):
    """What is to be said of one assumption by itself."""

    holds: Literal["yes", "no", "unsure"]
    fundamental: bool = Field(description="Whether the hypothesis falls with it.")
    why: str


class Observation(_Form):
    """A finding, and whether a hypothesis explains it better than what is thought now."""

    finding: str
    explained: bool
    how: str


class Observations(_Form):
    """Findings that a hypothesis may explain."""

    observations: list[Observation]


class Simulated(_Form):
    """A mechanism, stepped through in the mind."""

    steps: list[str] = Field(description="What would happen, in order, if the hypothesis held.")
    failures: list[str] = Field([], description="Where this could go otherwise.")
    summary: str


class Critique(_Form):
    """What reviews and debates say again and again."""

    recurring: list[str] = Field(description="Faults that many hypotheses share.")
    advice: str = Field(description="What makers and reviewers should mind from now on.")

    def as_text(self) -> str:
        """Return it as an agent reads it."""
        return "\n".join([self.advice, *(f"- {fault}" for fault in self.recurring)])


class Direction(_Form):
    """A direction of research."""

    title: str
    why: str
    experiments: list[str] = []
    hypotheses: list[str] = Field([], description="Ids of the hypotheses that belong here.")


class Contact(_Form):
    """Who could judge a hypothesis, by expertise."""

    expertise: str
    why: str


class Overview(_Form):
    """What the research has come to."""

    summary: str
    directions: list[Direction]
    contacts: list[Contact] = Field(
        default=[], description="Which experts should be asked; fields, not persons."
    )

    def as_text(self) -> str:
        """Return it as an agent reads it."""
        lines = [self.summary]
        lines += [f"- {each.title}: {each.why}" for each in self.directions]
        return "\n".join(lines)

    def in_full(self) -> str:
        """Return all of it, as a review of safety reads it."""
        lines = [self.as_text()]
        for direction in self.directions:
            lines += [f"Experiment ({direction.title}): {experiment}" for experiment in direction.experiments]
        return "\n".join([*lines, *(f"Expert: {each.expertise}, {each.why}" for each in self.contacts)])
