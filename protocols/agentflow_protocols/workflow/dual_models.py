"""The `dual:` section: a world, a fast function, and slow processes beside it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints, model_validator

from agentflow_protocols.workflow.base import FUNCTION, Count, Duration, Name, Section, several

__all__ = ["SLOT_TYPES", "DualUse", "PolicySection", "SlotSection", "SlowSection", "StaleSection"]

SLOT_TYPES = ("text", "number", "boolean", "list", "object")

Function: TypeAlias = Annotated[str, StringConstraints(pattern=FUNCTION)]
SlotType: TypeAlias = Literal["text", "number", "boolean", "list", "object"]
Changed: TypeAlias = Literal["apply", "rebase", "drop"]
Age: TypeAlias = Annotated[int, Field(ge=0)]


def _slot(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


class SlotSection(Section):
    """A place that slow processes write and the fast function reads."""

    type: SlotType
    ttl: Count | None = Field(None, description="Ticks that a value lives; default: for ever.")


class StaleSection(Section):
    """What becomes of an output when the world has gone on meanwhile."""

    max_age: Age | None = Field(None, description="Ticks; what is older is dropped.")
    keys: Function | None = Field(
        None, description="A function of what is seen: the part on which outputs rest."
    )
    changed: Changed | None = Field(None, description="What to do when that part has changed; default: drop.")
    rebases: Age | None = Field(None, description="How often an output may be rebased; 1 by default.")


class PolicySection(Section):
    """A guard for policies that a slow process writes (`into: policy`), which run in a sandbox."""

    allowed: Function = Field(
        description="A function of what a policy wants: what is wrong with it as a text, else null."
    )
    budget: Duration = Field(0.02, description="For one call of a policy.")
    strikes: Count = Field(3, description="Faults after which a policy gives way to the last good one.")


class SlowSection(Section):
    """A slow process: an agent that is told a text, or an async function of a Context and a Brief."""

    agent: Name | None = None
    function: Function | None = None
    prompt: str | None = Field(
        None, description="What the agent is told, a template of `brief` and `inputs`."
    )
    into: str | None = Field(None, description="The slot that takes what it gives.")
    every: Count | None = Field(None, description="It is started every so many ticks.")
    first: Age | None = Field(None, description="The tick of its first start; 0 by default.")
    on: Annotated[list[str], BeforeValidator(several, json_schema_input_type=str | list[str])] = Field(
        [], description="Events that start it: `message`, or what the file's `events` tells."
    )
    inflight: Literal["coalesce", "restart", "queue"] = "coalesce"
    window: Age = Field(10, description="Ticks of history that it is told.")
    timeout: Duration | None = None
    max_age: Age | None = None
    changed: Changed | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> SlowSection:
        if (self.agent is None) == (self.function is None):
            raise ValueError("a slow process is exactly one of agent, function")
        if self.agent is not None and (self.prompt is None or self.into is None):
            raise ValueError("an agent needs `prompt`, what it is told, and `into`, the slot of its answer")
        if self.function is not None and self.prompt is not None:
            raise ValueError("`prompt` belongs to slow processes with agent")
        if self.every is None and not self.on:
            raise ValueError("nothing starts it; write `every: 20` or `on: message`")
        if self.first is not None and self.every is None:
            raise ValueError("`first` belongs to slow processes with `every`")
        return self


class DualUse(Section):
    """A world that goes on in ticks, a fast function that acts in it, and slow processes that think."""

    environment: Function = Field(description="What makes the world: module:name, called with `with`.")
    with_: dict[str, JsonValue] = Field({}, alias="with", description="Its arguments, templates of `inputs`.")
    fast: Function = Field(description="A plain function of a Now, which returns an action.")
    default: JsonValue = Field(description="The action of a tick that has no other.")
    tick: Duration = Field(0.25, description="How long a tick takes.")
    ticks: Count = 500
    deadline: Duration | None = Field(None, description="For the fast function; default: 0.8 of a tick.")
    seed: int | str | None = Field(None, description="The seed of the world: a number, or one whole {{ … }}.")
    slots: dict[
        Name, Annotated[SlotSection, BeforeValidator(_slot, json_schema_input_type=SlotType | SlotSection)]
    ] = Field({}, description="Default: guideline and belief (text), assignment (list).")
    slow: dict[Name, SlowSection] = Field({})
    stale: StaleSection | None = None
    policy: PolicySection | None = None
    events: Function | None = Field(None, description="A function of a Now: the events of this tick.")
    state: Function | None = Field(
        None, description="A function of what is seen: JSON of it, whose last one the output has as `seen`."
    )
    draw: Function | None = Field(None, description="A function of the world: a text to look at.")

    @model_validator(mode="after")
    def _in_time(self) -> DualUse:
        if self.deadline is not None and self.deadline > self.tick:
            raise ValueError(f"the deadline is at most a tick ({self.tick:g} s)")
        names = list(self.slots) or ["guideline", "belief", "assignment"]
        if self.policy is not None:
            names.append("policy")
            if self.state is None:
                raise ValueError("`policy` needs `state`, a function of what is seen: policies are told JSON")
        for name, slow in self.slow.items():
            if slow.into is not None and slow.into not in names:
                raise ValueError(f"slow.{name}.into: no slot `{slow.into[:60]}`; allowed: {', '.join(names)}")
        return self

    def agents(self) -> list[str]:
        """Return the names of the agents that think."""
        return list(dict.fromkeys(slow.agent for slow in self.slow.values() if slow.agent is not None))

    def functions(self) -> dict[tuple[str, ...], str]:
        """Return the functions that it names, by their place."""
        found: dict[tuple[str, ...], str | None] = {
            ("environment",): self.environment,
            ("fast",): self.fast,
            ("events",): self.events,
            ("state",): self.state,
            ("draw",): self.draw,
            ("policy", "allowed"): None if self.policy is None else self.policy.allowed,
            ("stale", "keys"): None if self.stale is None else self.stale.keys,
        }
        found |= {("slow", name, "function"): slow.function for name, slow in self.slow.items()}
        return {place: name for place, name in found.items() if name is not None}
