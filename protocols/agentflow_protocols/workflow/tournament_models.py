"""The `tournament:` section: items, who judges them two at a time, who makes, reviews and studies them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints, model_validator

from agentflow_protocols.workflow.base import (
    FUNCTION,
    Amount,
    Count,
    Duration,
    Name,
    NameList,
    Positive,
    Section,
)

__all__ = [
    "PLAIN_WORKERS",
    "RESEARCHERS",
    "ROLES",
    "WORKER_KINDS",
    "JudgeSection",
    "ResearchPlanSection",
    "ScientistSection",
    "SupervisorSection",
    "TournamentUse",
    "WorkerSection",
]

Function: TypeAlias = Annotated[str, StringConstraints(pattern=FUNCTION)]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Number: TypeAlias = Annotated[int, Field(ge=0)]
Share: TypeAlias = Annotated[float, Field(gt=0, le=1)]
WorkerKind: TypeAlias = Literal["make", "look", "study"]

WORKER_KINDS = {
    "make": ("needs", "at_once", "whole"),
    "look": ("again", "gate", "due", "reject", "memo"),
    "study": ("every", "on_goal", "gate", "halt"),
}
"""The kinds of workers, and what each may have beside `agent`, `function` and `prompt`."""


def _who(value: object) -> object:
    """Return a name as what it names: a function has a colon, an agent none."""
    return {"function" if ":" in value else "agent": value} if isinstance(value, str) else value


class JudgeSection(Section):
    """Who compares two items: an agent, or an async function of a Context and a Match."""

    agent: Name | None = None
    function: Function | None = None
    prompt: Text | None = Field(
        None,
        description="What the agent is told: a template of `goal`, `first`, `second`, `match`, `inputs`.",
    )

    @model_validator(mode="after")
    def _one(self) -> JudgeSection:
        if (self.agent is None) == (self.function is None):
            raise ValueError("it is exactly one of agent, function")
        if self.function is not None and self.prompt is not None:
            raise ValueError("`prompt` belongs to an agent")
        return self


class WorkerSection(Section):
    """Who makes items, looks at one, or studies all: an agent, or an async function."""

    kind: WorkerKind | None = None
    agent: Name | None = None
    function: Function | None = Field(
        None, description="Of a Context and the Board; one that looks gets a Standing between them."
    )
    prompt: Text | None = Field(
        None,
        description="What the agent is told: a template of `goal`, `board`, `inputs`; `item`, `standing`.",
    )
    needs: Number | None = Field(None, description="make: how many items have to play first.")
    at_once: Count | None = Field(
        None, description="make: how many of its calls may run at once; 1 by default."
    )
    whole: bool = Field(False, description="make: a text that it answers is one item, and no list.")
    again: Count | None = Field(None, description="look: again after so many further matches of an item.")
    due: Text | None = Field(
        None, description="look: one whole {{ … }} of `standing`, `item` and `inputs`: whether to look."
    )
    reject: Text | None = Field(
        None,
        description="look: one whole {{ … }} of `answer` and what a prompt sees: why the item has to go.",
    )
    gate: bool = Field(
        False, description="look: no item plays before it; study: nothing begins while it is due."
    )
    memo: bool = Field(False, description="look: what it says is kept, and no judge sees it.")
    every: Count | None = Field(None, description="study: every so many matches.")
    on_goal: bool = Field(False, description="study: for each goal.")
    halt: Text | None = Field(
        None,
        description="study: one whole {{ … }} of `answer` and what a prompt sees: why to end it, as unsafe.",
    )

    @model_validator(mode="after")
    def _one(self) -> WorkerSection:
        if (self.agent is None) == (self.function is None):
            raise ValueError("it is exactly one of agent, function")
        if self.function is not None:
            beyond = next(
                (name for name in ("prompt", "reject", "halt") if getattr(self, name) is not None), None
            )
            if beyond is not None:
                raise ValueError(f"`{beyond}` belongs to an agent")
            if self.whole:
                raise ValueError("`whole` belongs to an agent")
        if self.kind == "study" and self.every is None and not self.on_goal:
            raise ValueError("nothing starts it; write `every: 20` or `on_goal: true`")
        return self


class SupervisorSection(Section):
    """What weighs whose turn it is: what has come of each worker's tokens, or a Supervisor of one's own."""

    function: Function | None = Field(None, description="module:name of a Supervisor, or of what makes one.")
    settle: Positive | None = Field(None, description="Matches that it takes to settle who of two is best.")
    entry: Positive | None = Field(None, description="Matches that a new item costs.")
    sharpen: Positive | None = Field(None, description="To which power weights go by worth.")
    backlog: Positive | None = Field(None, description="New items that hold back more.")

    @model_validator(mode="after")
    def _one(self) -> SupervisorSection:
        if self.function is not None and len(self.model_fields_set) > 1:
            raise ValueError("a function weighs by itself; write nothing beside it")
        return self


def _supervisor(value: object) -> object:
    if not isinstance(value, str):
        return value
    return {"function": value} if ":" in value else {}


Supervising: TypeAlias = Annotated[
    SupervisorSection, BeforeValidator(_supervisor, json_schema_input_type=str | SupervisorSection)
]
Judge: TypeAlias = Annotated[JudgeSection, BeforeValidator(_who, json_schema_input_type=str | JudgeSection)]
Worker: TypeAlias = Annotated[
    WorkerSection, BeforeValidator(_who, json_schema_input_type=str | WorkerSection)
]

RESEARCHERS: Mapping[str, WorkerKind] = {
    **dict.fromkeys(("goal_safety", "plan"), "study"),
    **dict.fromkeys(("proximity", "safety", "recheck", "initial", "full", "deep", "observation"), "look"),
    **dict.fromkeys(("simulation", "recurrent"), "look"),
    **dict.fromkeys(("literature", "debate", "assumptions", "expansion"), "make"),
    **dict.fromkeys(("ground", "feasible", "inspire", "combine", "simplify", "outside"), "make"),
    **dict.fromkeys(("critique", "overview", "monitor"), "study"),
}
"""The agents that a co-scientist has of its own, and of what kind they are."""

ROLES = ("safety", "planning", "generation", "reflection", "ranking", "evolution", "meta")
"""The roles in which a co-scientist's endpoints answer."""

Role: TypeAlias = Literal["safety", "planning", "generation", "reflection", "ranking", "evolution", "meta"]


class ResearchPlanSection(Section):
    """What a goal in plain words comes to; without it a model says so."""

    objective: Text
    preferences: list[Text] = Field([])
    attributes: list[Text] = Field([])
    constraints: list[Text] = Field([])
    criteria: list[Text] = Field([], description="By what hypotheses are compared.")


class ScientistSection(Section):
    """A co-scientist: agents that find, review, compare and improve hypotheses for the goal."""

    endpoint: Name = Field(description="What answers in all roles.")
    roles: dict[Role, Name] = Field({}, description="Endpoints that answer in some of the roles instead.")
    plan: ResearchPlanSection | None = None
    documents: list[Text] = Field([], description="Text files in which agents may search.")
    search: NameList = Field([], description="Tools with which agents may search.")
    embed: Name | None = Field(None, description="An endpoint that says how alike two hypotheses are.")
    same: Share = Field(0.92, description="From so alike on two hypotheses are one.")
    debates: bool = Field(True, description="Whether the best are compared in debates.")
    turns: Count = Field(3, description="Of a debate, at most.")
    each_time: Count = Field(3, description="Hypotheses that are asked for at once.")
    formats: list[Text] = Field([], description="Further forms in which the overview is wanted.")
    without: NameList = Field([], description="Its agents that are left out.")


PLAIN_WORKERS = {"generate": "make", "evolve": "make", "review": "look"}
"""The workers that stand in the section itself, and of what kind they are."""


_JUDGED = (
    "debate", "generate", "evolve", "review", "objective", "parallel_rematch", "id", "similar", "near",
    "item_type",
)  # fmt: skip


class TournamentUse(Section):
    """The tournament that is run: items compared two at a time, until it is sure enough who is best."""

    goal: Text = Field(description="What the items are for; a template of `inputs`.")
    items: list[JsonValue] | Text = Field(
        [], description="Values, a .jsonl or .txt file, or one whole {{ … }}; templates of `inputs`."
    )
    judge: Judge | None = None
    scientist: ScientistSection | None = Field(
        None, description="In the place of a judge: a co-scientist, whose items are hypotheses."
    )
    debate: Judge | None = Field(None, description="Judges matches within the best k.")
    generate: Worker | None = Field(None, description="Makes items.")
    evolve: Worker | None = Field(None, description="Makes items of others, once two play.")
    review: Worker | None = Field(None, description="Looks at an item; judges see what it says.")
    agents: dict[Name, WorkerSection] = Field({}, description="More who make, look or study, by their names.")
    objective: Literal["top_k", "full_order"] = "top_k"
    k: Count = Field(5, description="How many of the best are looked for.")
    concurrency: Count = Field(16, description="Matches and calls of workers at once.")
    max_matches: Number | None = Field(None, description="Default: 15 for each item.")
    stop_overlap: Share | None = Field(
        0.85,
        description="It ends when this share of the best k is expected to be truly among them; null: never.",
    )
    stop_order: Share | None = Field(
        0.85,
        description="With `full_order`: it ends at this expected Kendall's tau with the truth; null: never.",
    )
    match_timeout: Duration | None = Field(300.0, description="For one match, which is then played anew.")
    most_items: Count = 64
    weights: dict[Name, Amount] | None = Field(
        None, description="How often whose turn it is: of `match` and of workers, by their names."
    )
    supervisor: Supervising | None = Field(
        None,
        description="What weighs whose turn it is, in the place of `weights`: thompson, or module:name.",
    )
    parallel_rematch: Count = Field(1, description="How often one pair may be under way at once.")
    id: Text | None = Field(None, description="A field of the items, or a function of one, that names it.")
    similar: Function | None = Field(None, description="A function of two items: whether they are one.")
    near: Function | None = Field(None, description="A function of two items: how alike they are, 0 to 1.")
    item_type: Function | None = Field(None, description="The type of an item, for functions: module:Class.")
    seed: int | str = Field(0, description="Of all chance: a number, or one whole {{ … }}.")
    report: Text | None = Field(
        None, description="A .html, .md, .svg or .json file that gets the report; a template of `inputs`."
    )

    @model_validator(mode="after")
    def _whole(self) -> TournamentUse:
        if (self.judge is None) == (self.scientist is None):
            raise ValueError("it is exactly one of judge, scientist")
        if self.scientist is not None:
            beyond = next((name for name in _JUDGED if name in self.model_fields_set), None)
            if beyond is not None:
                raise ValueError(f"`{beyond}` does not belong to a tournament with scientist")
        if self.weights is not None and self.supervisor is not None:
            raise ValueError("`weights` and `supervisor` say the same; write one of them")
        if (
            self.judge is not None
            and not self.items
            and not any(kind == "make" for _, kind, _ in self.workers())
        ):
            raise ValueError("there is nothing to compare: write `items`, or `generate`")
        return self

    def workers(self) -> Iterator[tuple[tuple[str, ...], str, WorkerSection]]:
        """Yield the workers: their places, kinds and sections."""
        for name, kind in PLAIN_WORKERS.items():
            worker: WorkerSection | None = getattr(self, name)
            if worker is not None:
                yield (name,), kind, worker
        for name, worker in self.agents.items():
            yield ("agents", name), worker.kind or "make", worker

    def judges(self) -> dict[str, JudgeSection]:
        """Return who judges: `judge` and `debate`, as far as they are there."""
        found = {"judge": self.judge, "debate": self.debate}
        return {name: judge for name, judge in found.items() if judge is not None}

    def endpoints(self) -> list[str]:
        """Return the names of the endpoints that a co-scientist asks."""
        if self.scientist is None:
            return []
        named = [self.scientist.endpoint, *self.scientist.roles.values(), self.scientist.embed]
        return list(dict.fromkeys(name for name in named if name is not None))

    def asked(self) -> list[str]:
        """Return the names of the file's agents that are asked."""
        found = [each.agent for each in self.judges().values()]
        found += [worker.agent for _, _, worker in self.workers()]
        return list(dict.fromkeys(name for name in found if name is not None))

    def functions(self) -> dict[tuple[str, ...], str]:
        """Return the functions that it names, by their place."""
        found: dict[tuple[str, ...], str | None] = {
            (name, "function"): judge.function for name, judge in self.judges().items()
        }
        found |= {(*place, "function"): worker.function for place, _, worker in self.workers()}
        found |= {(name,): getattr(self, name) for name in ("similar", "near", "item_type")}
        found["supervisor",] = None if self.supervisor is None else self.supervisor.function
        if self.id is not None and ":" in self.id:
            found["id",] = self.id
        return {place: name for place, name in found.items() if name is not None}
