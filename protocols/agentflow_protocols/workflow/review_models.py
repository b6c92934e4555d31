"""The `review:` section: a table of records, reviewers by name, and rounds in which they look."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints, model_validator

from agentflow_protocols.workflow.base import FUNCTION, WHOLE, Count, Name, NameList, Section, several

__all__ = [
    "REVIEW_KINDS",
    "DecidedSection",
    "DisagreementSection",
    "ExampleSection",
    "ReviewUse",
    "ReviewerSection",
    "RoundSection",
    "ScoredSection",
    "WhenSection",
]

Function: TypeAlias = Annotated[str, StringConstraints(pattern=FUNCTION)]
Whole: TypeAlias = Annotated[str, StringConstraints(pattern=WHOLE)]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Score: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Texts: TypeAlias = Annotated[list[Text], BeforeValidator(several, json_schema_input_type=Text | list[Text])]

REVIEW_KINDS = {
    "title_abstract": (("include",), ("exclude",)),
    "scoring": (("task", "scale"), ()),
    "decision": (("task", "options"), ()),
    "abstraction": (("wanted",), ()),
}
"""The kinds of reviewers: what each needs, and what else it may have."""

_OF_MODELS = ("endpoint", "fields", "background", "examples")


class ExampleSection(Section):
    """A record, as its fields, and the vote that is right for it."""

    record: dict[str, JsonValue]
    vote: dict[str, JsonValue]


class ReviewerSection(Section):
    """A reviewer: one of a kind, with an endpoint; an agent that is told a text; or an async function."""

    kind: Literal["title_abstract", "scoring", "decision", "abstraction"] | None = None
    agent: Name | None = None
    function: Function | None = Field(
        None, description="module:name, an async function of a Context, a Record and the votes so far."
    )
    prompt: Text | None = Field(
        None, description="What the agent is told: a template of `record`, `id`, `votes` and `inputs`."
    )
    endpoint: Name | None = None
    include: Text | None = Field(None, description="What belongs into the review; a template of `inputs`.")
    exclude: Text | None = Field(None, description="What does not; a template of `inputs`.")
    task: Text | None = Field(None, description="What is to be judged; a template of `inputs`.")
    scale: Annotated[dict[Whole, Text], Field(min_length=2)] | None = Field(
        None, description="Scores and their meanings, such as {1: poor, 2: fair, 3: good}."
    )
    options: Annotated[dict[Text, Text], Field(min_length=2)] | None = Field(
        None, description="Decisions and their meanings."
    )
    wanted: Annotated[dict[Text, Text], Field(min_length=1)] | None = Field(
        None, description="Facts to take out of the record, and what each of them is."
    )
    fields: Annotated[Texts, Field(min_length=1)] | None = Field(
        None, description="Fields that it is told; default: all, of title_abstract title, abstract, keywords."
    )
    background: Text | None = Field(None, description="What it should know; a template of `inputs`.")
    examples: list[ExampleSection] = Field([], description="Records and their right votes.")

    @model_validator(mode="after")
    def _one_kind(self) -> ReviewerSection:
        given = [name for name in type(self).model_fields if getattr(self, name) not in (None, [])]
        what = [name for name in ("kind", "agent", "function") if name in given]
        if len(what) != 1:
            raise ValueError("a reviewer is exactly one of kind, agent, function")
        needs, more = REVIEW_KINDS[self.kind] if self.kind is not None else ((), ())
        if self.kind is not None:
            needs, more = ("endpoint", *needs), (*_OF_MODELS, *more)
        elif self.agent is not None:
            needs = ("prompt",)
        name = self.kind or what[0]
        missing = next((each for each in needs if each not in given), None)
        if missing is not None:
            raise ValueError(f"a reviewer of {name} needs `{missing}`")
        beyond = next((each for each in given if each not in (*what, *needs, *more)), None)
        if beyond is not None:
            raise ValueError(f"`{beyond}` does not belong to reviewers of {name}")
        return self


class DisagreementSection(Section):
    """The votes of a round differ: scores on both sides of the threshold, or on it; other decisions."""

    round: Name
    threshold: Score = 3.0


class ScoredSection(Section):
    """The mean score of a round, of several the last that the row entered, is at least so high."""

    round: NameList = Field(min_length=1)
    at_least: Score


class DecidedSection(Section):
    """Most decisions of a round, of several the last that the row entered, are one of these."""

    round: NameList = Field(min_length=1)
    is_: Texts = Field(alias="is", min_length=1)


def _disagreement(value: object) -> object:
    return {"round": value} if isinstance(value, str) else value


class WhenSection(Section):
    """Which rows enter a round; exactly one of these."""

    disagreement: Annotated[
        DisagreementSection | None,
        BeforeValidator(_disagreement, json_schema_input_type=Name | DisagreementSection),
    ] = None
    scored: ScoredSection | None = None
    decided: DecidedSection | None = None
    function: Function | None = Field(
        None, description="module:name, a function of a Row that returns true or false."
    )
    template: Text | None = Field(
        None, description="One whole {{ … }} of `record`, `id`, `votes` and `inputs`."
    )

    @model_validator(mode="after")
    def _one(self) -> WhenSection:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("it is exactly one of disagreement, scored, decided, function, template")
        return self

    def rounds(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Return the rounds that it names, with their places."""
        if self.disagreement is not None:
            return [(("disagreement", "round"), self.disagreement.round)]
        section, name = (self.scored, "scored") if self.scored is not None else (self.decided, "decided")
        return [] if section is None else [((name, "round", i), each) for i, each in enumerate(section.round)]


def _when(value: object) -> object:
    if value == "all":
        return None
    return {"template": value} if isinstance(value, str) else value


class RoundSection(Section):
    """Reviewers who look at the same rows: all of them, or those for which `when` says so."""

    name: Name
    reviewers: NameList = Field(min_length=1)
    when: Annotated[
        WhenSection | None, BeforeValidator(_when, json_schema_input_type=str | WhenSection | None)
    ] = Field(None, description="`all` (the default), one whole {{ … }}, or a mapping.")
    sees_votes: bool = Field(False, description="Whether its reviewers are told what earlier rounds said.")


class ReviewUse(Section):
    """The review that is run: records, who looks at them, and in which rounds."""

    records: Text = Field(
        description="A .csv, .tsv, .jsonl, .ris or .nbib file; a template, in which `inputs` may be used."
    )
    id_field: Text | None = Field("id", description="The field that names a record; null numbers them.")
    output: Text | None = Field(
        None, description="The rows with their votes: a .csv, .tsv or .jsonl file; a template of `inputs`."
    )
    concurrency: Count = Field(32, description="Rows under way at once.")
    on_fault: Literal["fail", "keep"] = Field(
        "fail", description="Whether a look that failed fails the run in the end."
    )
    reviewers: dict[Name, ReviewerSection] = Field(min_length=1)
    rounds: list[RoundSection] = Field(min_length=1)

    def agents(self) -> list[str]:
        """Return the names of the agents that look."""
        return list(dict.fromkeys(each.agent for each in self.reviewers.values() if each.agent is not None))

    def endpoints(self) -> list[str]:
        """Return the names of the endpoints that reviewers without an agent ask."""
        found = (each.endpoint for each in self.reviewers.values() if each.endpoint is not None)
        return list(dict.fromkeys(found))

    def functions(self) -> dict[tuple[str | int, ...], str]:
        """Return the functions that it names, by their place."""
        found: dict[tuple[str | int, ...], str] = {}
        for name, each in self.reviewers.items():
            if each.function is not None:
                found["reviewers", name, "function"] = each.function
        for index, round_ in enumerate(self.rounds):
            if round_.when is not None and round_.when.function is not None:
                found["rounds", index, "when", "function"] = round_.when.function
        return found
