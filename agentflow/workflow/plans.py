"""Plans of workflow files: the `plan:` section as a Plan of the SDK.

Each step is a child run under its name. Its templates are rendered when what they name is there.
"""

from __future__ import annotations

import graphlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast, overload

from agentflow.errors import ToolFailed, UserError
from agentflow.plan import Outputs, Plan, Step
from agentflow.plan.call import begin_once
from agentflow.plan.plan import WINDOW
from agentflow.runtime import Context, Limits
from agentflow.tools import Progress
from agentflow.workflow.plan_faults import default_input, uses_of, waits_of
from agentflow.workflow.templates import render
from agentflow_protocols.chat import Json
from agentflow_protocols.trace import ApprovalNeeded, ApprovalSettled, StepProgress
from agentflow_protocols.workflow import PlanUse, Raw, StepSection, fallback_of

if TYPE_CHECKING:
    from pydantic import JsonValue

    from agentflow.agent import Agent
    from agentflow.workflow.build import AnyTool

__all__ = ["Scope", "build_plan", "run_plan"]

_FIELDS = ("input", "with")  # templates that a step renders when it runs; `when` and `each` come before


@dataclass(slots=True, frozen=True)
class Scope:
    """What steps are made of, and what their templates see beside the steps of their own plan."""

    agent: Callable[[str], Agent[object, Json]]
    tools: Mapping[str, AnyTool]
    inputs: Mapping[str, Json]
    steps: Mapping[str, object]  # of the plans around: `{"output": value}` by name
    items: Mapping[str, Json]

    def seeing(self, outputs: Mapping[str, object], items: Mapping[str, Json] | None = None) -> Scope:
        """Return the scope in which some steps have given `outputs`."""
        steps = {name: {"output": value} for name, value in outputs.items()}
        return replace(self, steps={**self.steps, **steps}, items={**self.items, **(items or {})})

    def render(self, value: Json, where: str) -> Json:
        """Return a value with its templates rendered."""
        return render(value, {**self.items, "inputs": self.inputs, "steps": self.steps}, where)


async def run_plan(
    name: str, section: PlanUse, scope: Scope, context: Context[object]
) -> tuple[Json, Mapping[str, object]]:
    """Run a plan in the run of `context`; return its steps' outputs as JSON, and by name for templates."""
    plan = build_plan(name, section, scope)
    graph = plan.check()
    critical = set(graph.critical_path)
    told: list[Json] = []
    for number, step in enumerate(plan.steps):
        after: Json = [graph.names[earlier] for earlier in graph.after[number]]
        row: dict[str, Json] = {"name": step.name, "after": after, "critical": number in critical}
        told.append(row | ({"on_error": "skip"} if step.said.on_error == "skip" else {}))
    context.emit("plan", {"steps": told})
    given = await plan.__run__(context)
    outputs = {key: given.get(key) for key in section.steps}
    return cast("Json", outputs), outputs


def build_plan(name: str, section: PlanUse, scope: Scope) -> Plan:
    """Return the Plan that a section describes, its steps in the order of the file."""
    raw = {key: _raw(step, scope.inputs) for key, step in section.steps.items()}
    slots = {
        step.tool: most
        for step in section.steps.values()
        if step.tool is not None and (most := scope.tools[step.tool].options.max_parallel) is not None
    }
    plan = Plan(
        name=name,
        resources={**section.resources, **{f"tool {tool}": most for tool, most in slots.items()}},
        on_failure=section.on_failure,
        window=section.window or WINDOW,
    )
    waits = waits_of(raw)
    made: dict[str, Step[object]] = {}
    for key in graphlib.TopologicalSorter(waits).static_order():
        step = section.steps[key]
        if step.any_of is not None:
            made[key] = plan.any_of(*(made[other] for other in waits[key]), losers=step.losers or "cancel")
            made[key].options(name=key)
        else:
            made[key] = _called(plan, key, step, raw[key], waits[key], made, scope)
            needs = {**step.resources, **({f"tool {step.tool}": 1} if step.tool in slots else {})}
            made[key].options(after=[made[other] for other in waits[key]], resources=needs)
    for key, step in section.steps.items():
        fallback = fallback_of(raw[key])
        if fallback is not None:
            made[key].options(on_error=made[fallback])
        elif step.on_error == "skip":
            made[key].options(on_error="skip")
    order = {key: number for number, key in enumerate(section.steps)}
    plan.steps.sort(key=lambda step: order[step.name])
    return plan


def _raw(step: StepSection, inputs: Mapping[str, Json]) -> Raw:
    """Return a step as it was written, with what its agent is told."""
    raw: dict[str, JsonValue] = step.model_dump(by_alias=True, exclude_unset=True)
    if step.agent is not None and step.input is None:
        raw["input"] = default_input(raw, inputs)
    return raw


def _called(
    plan: Plan,
    key: str,
    step: StepSection,
    raw: Raw,
    waits: Sequence[str],
    made: Mapping[str, Step[object]],
    scope: Scope,
) -> Step[object]:
    """Add a step that runs an agent, a tool or a plan, once or for each item."""
    # A Plan runs whatever has `__run__`; its types tell of agents alone.
    job = cast("Agent[object, Json]", _StepJob(key, step, raw, scope))
    used = [name for name in uses_of(raw, _FIELDS) if name in waits]
    when: Callable[[Outputs], object] | None = None
    if step.when is not None:
        truth: Json = step.when

        def when(outputs: Outputs) -> object:
            return scope.seeing(_of(outputs, waits)).render(truth, f"step {key}: when")

    if step.each is None:
        given = {"steps": {name: made[name].output for name in used}}
        added = cast("Step[object]", plan.step(job, cast("str", given)))
    else:
        items = _Items(key, step, scope, used, waits)
        each = plan.map(job, cast("Sequence[str]", items), max_parallel=step.max_parallel)
        added = cast("Step[object]", each)
        when = items.begun_with(when)
    return added.options(when=when, retries=step.retries, timeout=step.timeout, estimate=step.estimate)


def _of(outputs: Outputs, names: Sequence[str]) -> dict[str, object]:
    return {name: outputs.get(name) for name in names}


class _Items(Sequence[Json]):
    """The items of `each`, known once the steps before it have ended; each is an input of the job."""

    def __init__(
        self, key: str, step: StepSection, scope: Scope, used: Sequence[str], waits: Sequence[str]
    ) -> None:
        self._key = key
        self._step = step
        self._scope = scope
        self._used = used
        self._waits = waits
        self._outputs: dict[str, object] = {}
        self._items: list[Json] | None = None

    def begun_with(self, when: Callable[[Outputs], object] | None) -> Callable[[Outputs], object]:
        """Return a condition that, on the way, takes down what the steps before have given."""

        def begin(outputs: Outputs) -> object:
            self._outputs = _of(outputs, self._waits)
            return True if when is None else when(outputs)

        return begin

    def _made(self) -> list[Json]:
        if self._items is None:
            each = cast("Json", self._step.each)
            found = self._scope.seeing(self._outputs).render(each, f"step {self._key}: each")
            if not isinstance(found, list | tuple):
                kind = "nothing" if found is None else type(found).__name__
                raise UserError(f"step {self._key}: `each` gives {kind}, where a list is needed")
            item = cast("str", self._step.item)
            steps = {name: cast("Json", self._outputs[name]) for name in self._used}
            self._items = [{"steps": steps, "items": {item: one}} for one in found]
        return self._items

    def __len__(self) -> int:
        return len(self._made())

    @overload
    def __getitem__(self, index: int, /) -> Json: ...

    @overload
    def __getitem__(self, index: slice, /) -> list[Json]: ...

    def __getitem__(self, index: int | slice, /) -> Json | list[Json]:
        return self._made()[index]


class _StepJob:
    """What a step does, as a job of its own run. Its input is what the steps before it gave."""

    kind = "step"
    output_type = object

    def __init__(self, name: str, step: StepSection, raw: Raw, scope: Scope) -> None:
        self.name = name
        self._step = step
        self._raw = raw
        self._scope = scope

    @property
    def tool(self) -> AnyTool | None:
        """The tool that it calls."""
        return None if self._step.tool is None else self._scope.tools[self._step.tool]

    @property
    def limits(self) -> Limits | None:
        """Those of the agent that it runs."""
        return None if self._step.agent is None else self._scope.agent(self._step.agent).limits

    async def __run__(self, context: Context[object], input: Mapping[str, Mapping[str, Json]], /) -> Json:
        """Render the templates, run the agent, the tool or the plan, and return what it gives."""
        scope = self._scope.seeing(input["steps"], input.get("items"))
        step = self._step
        if step.agent is not None:
            text = scope.render(cast("Json", self._raw["input"]), f"step {self.name}: input")
            text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
            return await scope.agent(step.agent).__run__(context, text)
        if step.plan is not None:
            outputs, by_name = await run_plan(self.name, step.plan, scope, context)
            if step.plan.output is None:
                return outputs
            return scope.seeing(by_name).render(cast("Json", step.plan.output), f"step {self.name}: output")
        assert step.tool is not None
        arguments = scope.render(cast("Json", step.with_), f"step {self.name}: with")
        return await self._call(context, scope.tools[step.tool], json.dumps(arguments, ensure_ascii=False))

    async def _call(self, context: Context[object], tool: AnyTool, arguments: str) -> Json:
        """Call a tool, once a person has approved of it where that is needed."""
        checked = tool.validate(arguments)
        if tool.options.approval_of(checked):
            await _approved(context, tool.name, arguments)

        above = context.state.parent
        key = context.run_id[len(above.id) + 1 :] if above is not None else self.name

        def told(data: Json) -> None:
            (above or context.state).emit(StepProgress(key, data))

        streamed: list[object] = []

        def yielded(value: object) -> None:
            if isinstance(value, Progress):
                told(value.data)
            else:
                streamed.append(value)

        inside = context.for_call(self.name, tool.name, told)
        with context.state.gate.busy():
            if not tool.options.idempotent:
                await begin_once(context)
            value = await tool.run(inside, checked, yielded)
        return cast("Json", streamed) if tool.options.reply == "stream" else value


async def _approved(context: Context[object], tool: str, arguments: str) -> None:
    """Wait until a person approves of the call, whose id is the step's path. Raises `ToolFailed`."""
    call = context.run_id.partition("/")[2]
    context.emit(ApprovalNeeded(call, tool, arguments))
    asked: Json = {"tool": tool, "arguments": arguments}
    answer = await context.wait_for(f"approve/{call}", asked)
    said = answer if isinstance(answer, Mapping) else {}
    approved, why = bool(said.get("approved")), str(said.get("why") or "")
    context.emit(ApprovalSettled(call, approved, why))
    if not approved:
        raise ToolFailed(f"{tool}: denied by a person{': ' + why if why else ''}")
