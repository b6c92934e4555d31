"""A whole plan as a text: its steps with their durations, and its graph in one of the forms; or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.duration import seconds_range
from agentflow_protocols.errors import RemoteProtocolError
from agentflow_protocols.plan.check import faults
from agentflow_protocols.plan.forms import Edges, Form, encode_graph, form_in, names_of, parse_graph
from agentflow_protocols.plan.steps import StepLine, encode_steps, join_steps, step_lines
from agentflow_protocols.plan.text import (
    END,
    START,
    PlanFault,
    PlanStep,
    PlanText,
    PlanTextError,
    Refs,
    clip,
    tidy,
)

__all__ = [
    "PLAN_SCHEMA",
    "TITLES",
    "checked",
    "encode_plan",
    "from_json",
    "parse_plan",
    "read_json",
    "to_json",
]

TITLES: Mapping[Form, str] = {
    "adjacency_list": "adjacency list",
    "adjacency_matrix": "adjacency matrix",
    "csr": "compressed sparse row",
    "edge_list": "edge list",
}

PLAN_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "title": "plan",
    "properties": {
        "steps": {
            "type": "array",
            "description": "Every step of the plan.",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "A number or a word, used once."},
                    "text": {"type": "string", "description": "What is done."},
                    "duration": {"type": "string", "description": "How long it takes, such as `10 minutes`."},
                    "after": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "The names of the steps that must be done before it begins.",
                    },
                },
                "required": ["name", "text", "duration", "after"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["steps"],
    "additionalProperties": False,
}


def encode_plan(plan: PlanText, form: Form) -> str:
    """Return a plan as a text of two parts, its steps and its graph."""
    return f"Steps:\n{encode_steps(plan)}\n\nGraph ({TITLES[form]}):\n{encode_graph(plan, form)}"


def parse_plan(text: str, form: Form | None = None) -> PlanText:
    """Return the plan in a text: steps with durations, and a graph in any form, or JSON.

    Prose and Markdown around are passed over. Raises `PlanTextError` with what is wrong, where, and
    what was expected.
    """
    if '"steps"' in text and (value := read_json(text)) is not None:
        return from_json(value)
    lines = _of_steps(step_lines(text))
    steps = join_steps(lines)
    names = [step.name for step in steps]
    form = form or form_in(text)
    edges = _said(lines, names)
    used = {line.line for line in lines}
    rest = [line if number not in used else "" for number, line in enumerate(text.splitlines(), 1)]
    edges += parse_graph("\n".join(rest), names, form)
    return checked(PlanText(tuple(steps), tuple(edges)))


def _of_steps(lines: Sequence[StepLine]) -> list[StepLine]:
    """Return the lines without those that name other steps alone: `7: note` says what comes next."""
    refs = Refs([line.name for line in lines if line.seconds is not None])

    def orders(line: StepLine) -> bool:
        listed = None if line.seconds is not None else names_of(line.rest)
        return bool(listed) and all(refs.find(one) for one in listed or ())

    return [line for line in lines if not orders(line)]


def _said(lines: Sequence[StepLine], names: Sequence[str]) -> Edges:
    """Return the edges that the steps' own lines state."""
    refs = Refs(names)
    edges: Edges = []
    wrong: list[PlanFault] = []
    for line in lines:
        for token in line.after or ():
            name = refs.find(token)
            if name is None:
                wrong.append(refs.unknown(token, line.line))
            elif name not in (START, END):
                edges.append((name, line.name))
    if wrong:
        raise PlanTextError(*wrong)
    return edges


def checked(plan: PlanText, wanted: Sequence[str] = ()) -> PlanText:
    """Return a plan that has no faults. Raises `PlanTextError`."""
    found = faults(plan, wanted)
    if found:
        raise PlanTextError(*found)
    return plan


def to_json(plan: PlanText) -> dict[str, Json]:
    """Return a plan in the form of `PLAN_SCHEMA`."""
    after = plan.after()
    return {
        "steps": [
            {"name": s.name, "text": s.text, "duration": s.duration, "after": after[s.name]}
            for s in plan.steps
        ]
    }


def read_json(text: str) -> object:
    """Return the JSON object in a text, also in a Markdown fence or with prose around; None without one."""
    first, last = text.find("{"), text.rfind("}")
    if first < 0 or last < first:
        return None
    try:
        value: object = json.loads(text[first : last + 1])
    except (ValueError, RecursionError):
        return None
    return value


def from_json(value: object, wanted: Sequence[str] = ()) -> PlanText:
    """Return the plan of a JSON value. Raises `PlanTextError` with all that is wrong.

    `wanted` are the names of the steps that must be there.
    """
    steps = value.get("steps") if isinstance(value, Mapping) else None
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise PlanTextError(PlanFault('no plan; expected {"steps": [{"name", "text", "duration", "after"}]}'))
    wrong: list[PlanFault] = []
    found: list[PlanStep] = []
    waits: list[tuple[str, object]] = []
    for number, item in enumerate(steps, 1):
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str | int):
            wrong.append(PlanFault(f'steps[{number - 1}]: expected {{"name": …, "duration": …}}'))
            continue
        name = str(item["name"]).strip()
        duration = str(item.get("duration", "")).strip()
        waits.append((name, item.get("after")))
        try:
            seconds = seconds_range(duration)
        except RemoteProtocolError:
            wrong.append(
                PlanFault(
                    f"step {clip(name)}: `{clip(duration)}` is no duration; expected such as `10 minutes`"
                )
            )
            seconds = (0.0, 0.0)
        found.append(PlanStep(name, tidy(str(item.get("text") or "")), duration, seconds))
    edges = _edges(waits, [step.name for step in found], wrong)
    plan = PlanText(tuple(found), tuple(edges))
    wrong += faults(plan, wanted)
    if wrong:
        raise PlanTextError(*dict.fromkeys(wrong))
    return plan


def _edges(waits: Sequence[tuple[str, object]], names: Sequence[str], wrong: list[PlanFault]) -> Edges:
    refs = Refs(names)
    edges: Edges = []
    for name, after in waits:
        listed = [] if after is None else [after] if isinstance(after, str | int) else after
        if not isinstance(listed, Sequence):
            wrong.append(PlanFault(f"step {clip(name)}: `after` must be a list of names"))
            continue
        for token in listed:
            earlier = refs.find(str(token).strip())
            if earlier is None:
                wrong.append(PlanFault(f"step {clip(name)}: {refs.unknown(str(token), 0).message}"))
            elif earlier not in (START, END):
                edges.append((earlier, name))
    return edges
