"""The `plan:` section: steps by name, how each is run, and what they share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from agentflow_protocols.workflow.base import Count, Duration, Name, NameList, Section

__all__ = ["STEP_KINDS", "FallbackUse", "NestedPlan", "PlanUse", "StepSection"]

STEP_KINDS = ("agent", "tool", "plan", "any_of")
_LONGEST_S = 3650 * 86400.0
_ONLY_FOR = {
    "input": ("agent",),
    "with_": ("tool",),
    "losers": ("any_of",),
    **dict.fromkeys(
        ("after", "when", "each", "resources", "retries", "timeout", "estimate", "on_error"),
        ("agent", "tool", "plan"),
    ),
}


def _sane(seconds: float) -> float:
    if seconds > _LONGEST_S:
        raise ValueError("allowed is a duration of at most ten years (3650d)")
    return seconds


def _one_of(words: str, *kinds: type) -> BeforeValidator:
    """Return a check of a value's kind, that says all that is allowed in one go."""

    def check(value: object) -> object:
        if value is not None and not isinstance(value, kinds):
            raise ValueError(f"allowed is {words}")
        return value

    return BeforeValidator(check, json_schema_input_type=_WRITTEN[words])


def _failing(value: object) -> object:
    named = isinstance(value, dict) and list(value) == ["step"] and isinstance(value["step"], str)
    if value is not None and value not in ("fail", "skip") and not named:
        raise ValueError("allowed is fail, skip or {step: NAME}")
    return value


_TRUTH, _LIST = "true, false or one whole {{ … }}", "a list or one whole {{ … }}"
_WRITTEN: dict[str, object] = {_TRUTH: bool | str, _LIST: str | list[JsonValue]}
StepDuration: TypeAlias = Annotated[Duration, AfterValidator(_sane)]
Truth: TypeAlias = Annotated[bool | str | None, _one_of(_TRUTH, bool, str)]
Items: TypeAlias = Annotated[str | list[JsonValue] | None, _one_of(_LIST, str, list)]


class FallbackUse(Section):
    """The step that is run in the place of one that failed."""

    step: str


OnError: TypeAlias = Annotated[Literal["fail", "skip"] | FallbackUse | None, BeforeValidator(_failing)]


class StepSection(Section):
    """A step: an agent, a tool, a plan or the first of some steps, and how it is run.

    Templates see `inputs`, what earlier steps gave (`steps.NAME.output`, which also puts them
    before this one) and, with `each`, the item.
    """

    agent: Name | None = None
    tool: Name | None = None
    plan: NestedPlan | None = Field(None, description="A plan of its own; it sees what its step sees.")
    any_of: Annotated[NameList, Field(min_length=1)] | None = Field(
        None, description="Steps of this plan; the value is that of the first that ends well."
    )
    losers: Literal["cancel", "leave"] | None = Field(
        None, description="What becomes of the other steps of `any_of`; `cancel` by default."
    )
    input: str | None = Field(
        None,
        description="What the agent is told, a template; default: the item of `each`, else what the steps"
        " gave that it waits for, else the input named `input`.",
    )
    with_: dict[str, JsonValue] = Field({}, alias="with", description="The tool's arguments, templates.")
    after: NameList = Field([], description="Steps that must have ended before.")
    when: Truth = Field(
        None, description="One whole {{ … }}; where it is false the step is skipped, and its output is null."
    )
    each: Items = Field(
        None, description="A list, or one whole {{ … }}: the step is run for each item of it."
    )
    as_: Name | None = Field(None, alias="as", description="What templates call the item; default: item.")
    max_parallel: Count | None = Field(None, description="Items that are under way at once.")
    resources: dict[Name, Count] = Field({}, description="Units that it holds while it runs.")
    retries: Annotated[int, Field(ge=0, le=100)] | None = None
    timeout: StepDuration | None = None
    estimate: StepDuration | None = Field(None, description="How long it takes, for who goes first.")
    on_error: OnError = Field(
        None, description="`fail` (default) ends what depends on it, `skip` goes on with null."
    )

    @property
    def item(self) -> str | None:
        """The name of the item in its templates; None without `each`."""
        return None if self.each is None else self.as_ or "item"

    @model_validator(mode="after")
    def _one_kind(self) -> StepSection:
        kinds = [name for name in STEP_KINDS if getattr(self, name) is not None]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none"
            raise ValueError(f"a step is exactly one of {', '.join(STEP_KINDS)}; found {found}")
        for field, owners in _ONLY_FOR.items():
            if field in self.model_fields_set and kinds[0] not in owners:
                name = field.removesuffix("_")
                raise ValueError(f"`{name}` belongs to steps with {' or '.join(owners)}, not {kinds[0]}")
        if self.each is None and (self.as_ is not None or self.max_parallel is not None):
            raise ValueError("`as` and `max_parallel` belong to steps with `each`")
        return self


class PlanUse(Section):
    """Steps that run as soon as what they wait for is there."""

    steps: Annotated[dict[Name, StepSection], Field(min_length=1)]
    resources: dict[Name, Count] = Field({}, description="Units that the steps share.")
    on_failure: Literal["finish", "cancel"] = Field(
        "finish", description="What becomes of steps that do not depend on one that failed."
    )
    window: Count | None = Field(None, description="Steps that are under way at once; 2000 by default.")

    def walk(self) -> Iterator[StepSection]:
        """Yield every step, those of nested plans too."""
        for step in self.steps.values():
            yield step
            if step.plan is not None:
                yield from step.plan.walk()

    def agents(self) -> list[str]:
        """Return the names of the agents that its steps run."""
        return list(dict.fromkeys(step.agent for step in self.walk() if step.agent is not None))


class NestedPlan(PlanUse):
    """A plan that is a step of another one."""

    output: JsonValue = Field(None, description="Templates; default: what each step gave, by its name.")


StepSection.model_rebuild()
PlanUse.model_rebuild()
NestedPlan.model_rebuild()
