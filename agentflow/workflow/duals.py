"""The `dual:` section of workflow files: the game that the SDK builds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import cast

from agentflow.agent import Agent
from agentflow.dual import (
    Brief,
    DualProcess,
    GuardedPolicy,
    MontySandbox,
    Now,
    Slot,
    Slow,
    StalePolicy,
    Trigger,
    every,
    on,
)
from agentflow.environment import Environment
from agentflow.errors import UserError
from agentflow.runtime import Context
from agentflow.workflow.check import folder_of
from agentflow.workflow.dual_faults import BRIEF
from agentflow.workflow.modules import load_function
from agentflow.workflow.templates import render
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import DualUse, Parsed, SlowSection, StaleSection

__all__ = ["run_dual"]

_TYPES: Mapping[str, object] = {
    "text": str,
    "number": float,
    "boolean": bool,
    "list": list[object],
    "object": dict[str, object],
}

World = Environment[object, object, object]


async def run_dual(
    name: str,
    use: DualUse,
    parsed: Parsed,
    build: Callable[[str], Agent[object, Json]],
    inputs: Mapping[str, Json],
    context: Context[object],
) -> Json:
    """Play the game of a file and return its report. Raises `UserError` for what its functions are not."""
    loaded: dict[Path, ModuleType] = {}
    functions = {
        place: load_function(function, folder_of(parsed, "dual", *place), loaded)
        for place, function in use.functions().items()
    }

    def callable_at(*place: str) -> Callable[..., object]:
        found = functions[place]
        if not callable(found):
            raise UserError(f"dual.{'.'.join(place)}: `{use.functions()[place]}` is no function")
        return found

    for place in functions:
        callable_at(*place)
    world = _world(callable_at("environment"), use, inputs)
    fast = cast("Callable[[Now[object]], object]", callable_at("fast"))
    async with AsyncExitStack() as stack:
        policy = None
        if use.policy is not None:
            sandbox = await stack.enter_async_context(MontySandbox())
            allowed = cast("Callable[[Json], str | None]", callable_at("policy", "allowed"))
            guard = GuardedPolicy(
                sandbox, allowed=allowed, seconds=use.policy.budget, strikes=use.policy.strikes
            )
            policy = await stack.enter_async_context(guard)
        dual = DualProcess(
            world,
            fast=fast,
            default=cast("object", use.default),
            slow=[
                _slow(each, section, build, functions.get(("slow", each, "function")), inputs)
                for each, section in use.slow.items()
            ],
            slots={each: Slot(_TYPES[section.type], ttl=section.ttl) for each, section in use.slots.items()}
            or None,
            tick=use.tick,
            ticks=use.ticks,
            deadline=use.deadline,
            stale=None if use.stale is None else _stale(use.stale, functions.get(("stale", "keys"))),
            policy=policy,
            state=cast("None", functions.get(("state",))),
            events=cast("None", functions.get(("events",))),
            draw=cast("None", functions.get(("draw",))),
            name=name,
        )
        report = await dual.__run__(context, _seed(use, inputs))
    told = {**asdict(report), "staleness": report.staleness}
    return cast("Json", json.loads(json.dumps(told)))  # whose keys are texts


def _world(make: Callable[..., object], use: DualUse, inputs: Mapping[str, Json]) -> World:
    given = {
        name: render(value, {"inputs": inputs}, f"dual.with.{name}") for name, value in use.with_.items()
    }
    try:
        world = make(**given)
    except TypeError as error:
        raise UserError(
            f"dual.environment: {use.environment} can't be called with `with`: {error}"
        ) from error
    missing = [name for name in ("reset", "observe", "act", "done") if not hasattr(world, name)]
    if missing:
        raise UserError(
            f"dual.environment: what {use.environment} makes has no `{missing[0]}`: it is no Environment"
        )
    return cast("World", world)


def _seed(use: DualUse, inputs: Mapping[str, Json]) -> int | None:
    seed = render(use.seed, {"inputs": inputs}, "dual.seed") if isinstance(use.seed, str) else use.seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise UserError(f"dual.seed: a seed is a whole number, not {str(seed)[:60]!r}")
    return seed


def _stale(section: StaleSection, keys: object) -> StalePolicy:
    return StalePolicy(
        section.max_age,
        cast("Callable[[object], object] | None", keys),
        section.changed or "drop",
        1 if section.rebases is None else section.rebases,
    )


def _slow(
    name: str,
    section: SlowSection,
    build: Callable[[str], Agent[object, Json]],
    function: object,
    inputs: Mapping[str, Json],
) -> Slow:
    triggers: list[Trigger] = [on(event) for event in section.on]
    if section.every is not None:
        triggers.insert(0, every(section.every, first=section.first or 0))
    own = section.max_age is not None or section.changed is not None

    def prompt(brief: Brief[object, object]) -> str:
        told = {each: getattr(brief, each) for each in BRIEF}
        names: dict[str, object] = {"inputs": inputs, "brief": told}
        text = render(section.prompt or "", names, f"dual.slow.{name}.prompt")
        return text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)

    return Slow(
        name,
        build(section.agent) if section.agent is not None else function,
        triggers,
        section.inflight,
        section.window,
        section.timeout,
        section.into,
        prompt if section.agent is not None else None,
        StalePolicy(section.max_age, None, section.changed or "drop") if own else None,
    )
