"""`agentflow plan`: a model plans a task; its graph, its time line and its shortest time; and doing it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentflow._cli.options import Json, NoColor, Quiet
from agentflow._cli.say import as_json, error_line, fancy, note, print_data

if TYPE_CHECKING:
    from agentflow.endpoints import Endpoint
    from agentflow.plan import Outputs
    from agentflow.plan.planner import Planned, Planner
    from agentflow.runtime import Result
    from agentflow_protocols.trace import Event

__all__ = ["Span", "gantt", "plan"]

_WORKER = "You do one step of a plan. Do it, and say in a few sentences what came of it. The whole task: "


def plan(
    task: Annotated[str, typer.Argument(metavar="TEXT", help="The task; - reads it from stdin.")],
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Who plans: openai:NAME, …")
    ] = "builtin:planner",
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="plag_checked, plag_run, plag_bag, cot, io, …")
    ] = "plag_checked",
    form: Annotated[
        str, typer.Option("--form", metavar="NAME", help="adjacency_list, adjacency_matrix, csr, edge_list.")
    ] = "adjacency_list",
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="The server of a model of your own.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", metavar="NAME", help="The variable with its key.")
    ] = None,
    run: Annotated[
        bool, typer.Option("--run", help="Do the plan: each step is a call of the model.")
    ] = False,
    sleep: Annotated[
        bool, typer.Option("--sleep", help="With --run: each step only takes its time, on a virtual clock.")
    ] = False,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Have a task planned, and show the graph, a time line, and the shortest time.

    With --run it is done, by --method plag_run while it is still being written. Without --model the
    rule-based planner plans (no LLM): it understands steps with durations in brackets, and their order.
    """
    from agentflow.endpoints import Endpoint
    from agentflow.plan.methods import method_of
    from agentflow.runtime.loop import new_loop, run_in
    from agentflow_protocols.plan import PlanTextError

    text = sys.stdin.read() if task == "-" else task
    endpoint = Endpoint(model, base_url=base_url, api_key_env=api_key_env)
    planner = _planner(text, endpoint, method, form, run and not sleep)
    clock: Literal["wall", "virtual"] = "virtual" if run and sleep else "wall"
    how = {"model": model, "method": str(method_of(method)), "form": form}
    try:
        if run:
            spans, result = run_in(lambda: new_loop(clock), _run(planner, text, quiet, no_color))
            _print_run(spans, result, how, as_data)
        else:
            planned = run_in(lambda: new_loop(clock), planner.plan(text))
            _print_plan(planned, how, as_data)
    except PlanTextError as error:
        from agentflow.errors import UserError

        raise UserError(f"{model} made no plan: {error}{_hint(model)}") from None


def _hint(model: str) -> str:
    if not model.startswith("builtin:"):
        return ""
    return " (it is no LLM, and reads steps such as `1. Boil the water (10 minutes)`; give --model)"


def _planner(text: str, endpoint: Endpoint, method: str, form: str, by_model: bool) -> Planner:
    """Return the planner that the options say. Raises `UserError`."""
    from agentflow.errors import UserError
    from agentflow.plan.drawn import Do
    from agentflow.plan.planner import Planner
    from agentflow_protocols.plan import FORMS

    if not text.strip():
        raise UserError('the task is empty: agentflow plan "Make leek soup."')
    found = next((one for one in FORMS if one == form), None)
    if found is None:
        raise UserError(f"--form {form}: allowed are {', '.join(FORMS)}")
    endpoint.check()
    do: Do | None = None
    if by_model:
        from agentflow.agent import Agent

        if endpoint.name.startswith("builtin:"):
            raise UserError("the rule-based planner can't do steps: give --model, or --sleep for a dry run")
        do = Agent(endpoint, name="worker", instructions=f"{_WORKER}{text}")
    return Planner(endpoint, method=method, form=found, do=do)


@dataclass(slots=True)
class Span:
    """A step on a time line, in seconds from the beginning; None is not at all."""

    name: str
    text: str = ""
    start: float | None = None
    end: float | None = None
    critical: bool = False
    state: str = "planned"


class _Spans:
    """Takes the events of a plan's run, and knows when each of its steps ran."""

    def __init__(self) -> None:
        self.steps: dict[str, Span] = {}
        self._begun: float | None = None

    def take(self, event: Event) -> None:
        """Take an event in."""
        from agentflow_protocols.trace import StepFailed, StepFinished, StepReady, StepSkipped, StepStarted

        self._begun = event.time if self._begun is None else self._begun
        now = event.time - self._begun
        if not isinstance(event, StepReady | StepStarted | StepFinished | StepFailed | StepSkipped):
            return
        if not event.run.endswith("/plan"):
            return
        span = self.steps.setdefault(event.key, Span(event.key, state="ready"))
        if isinstance(event, StepStarted):
            span.start, span.state = now, "running"
        elif not isinstance(event, StepReady):
            span.end = now if span.start is not None else None
            failed = isinstance(event, StepFailed)
            span.state = "failed" if failed else "skipped" if isinstance(event, StepSkipped) else "done"


async def _run(
    planner: Planner, text: str, quiet: bool, no_color: bool
) -> tuple[list[Span], Result[Outputs]]:
    """Plan and do it, and return when each step ran, and what came of it all."""
    import asyncio

    from agentflow._cli.view import Lines, Live, View
    from agentflow.runtime import Runtime

    spans = _Spans()
    loop = asyncio.get_running_loop()
    view: View | None = None
    if not quiet:
        drawn = fancy(no_color) and planner.do is not None  # a dry run is over at once
        view = Live(loop.time) if drawn else Lines()
    sinks = [spans.take] if view is None else [spans.take, view.take]
    try:
        async with Runtime(sinks=sinks) as runtime:
            result = await runtime.run(planner, text)
    finally:
        if view is not None:
            view.close()
    return list(spans.steps.values()), result


def _print_plan(planned: Planned, how: dict[str, str], as_data: bool) -> None:
    from agentflow.plan.prompts import time_words

    graph = planned.plan.check()
    after = planned.text.after()
    critical = set(graph.critical_path)
    spans = [
        Span(step.name, step.text, begin, begin + step.seconds[1], number in critical)
        for number, (step, begin) in enumerate(zip(planned.text.steps, graph.earliest, strict=True))
    ]
    if as_data:
        steps = [
            {
                "name": step.name,
                "text": step.text,
                "duration": step.duration,
                "seconds": list(step.seconds),
                "after": after[step.name],
                "start": span.start,
                "end": span.end,
                "slack": slack,
                "critical": span.critical,
            }
            for step, span, slack in zip(planned.text.steps, spans, graph.slack, strict=True)
        ]
        path = [planned.text.names[number] for number in graph.critical_path]
        spent = {"attempts": planned.attempts, "tokens": planned.usage.total_tokens, "cost": planned.cost}
        whole = {"total_s": list(planned.total), "critical_path": path}
        print_data(as_json({**how, **whole, **spent, "steps": steps}))
        return
    width = shutil.get_terminal_size().columns
    lines = []
    for step in planned.text.steps:
        told = f" <- {', '.join(after[step.name])}" if after[step.name] else ""
        lines.append(f"{step.name}. {step.text} ({step.duration}){told}")
    one = sum(step.seconds[1] for step in planned.text.steps)
    shortest = f"at the shortest {time_words(planned.total)}; one step after another {time_words((one, one))}"
    print_data("\n".join([*(error_line(line) for line in lines), "", *gantt(spans, width), "", shortest]))


def _print_run(spans: Sequence[Span], result: Result[Outputs], how: dict[str, str], as_data: bool) -> None:
    from agentflow.plan.prompts import time_words

    outputs = dict(result.output)
    took = result.wall_s if result.virtual_s is None else result.virtual_s
    if as_data:
        rows = [
            {"name": span.name, "state": span.state, "start": span.start, "end": span.end} for span in spans
        ]
        spent = {"seconds": took, "tokens": result.usage.total_tokens, "cost": result.cost}
        print_data(as_json({**how, **spent, "rows": rows, "outputs": outputs}))
        return
    shown = [f"{name}: {error_line(str(value))}" for name, value in outputs.items() if name != "write"]
    width = shutil.get_terminal_size().columns
    print_data("\n".join([*shown, "", *gantt(spans, width)]))
    note(f"done in {time_words((took, took))}, {result.usage.total_tokens} tokens")


def gantt(spans: Sequence[Span], width: int) -> list[str]:
    """Return a time line, a line a step, of at most `width` columns; `*` marks the critical path."""
    from agentflow._cli.say import seconds_text

    last = max((span.end for span in spans if span.end is not None), default=0.0)
    labels = [error_line(f"{span.name} {span.text}".strip()) for span in spans]
    label = max(4, min(max(map(len, labels), default=0), width // 3))
    room = width - label - 14
    lines: list[str] = []
    for span, words in zip(spans, labels, strict=True):
        name = words if len(words) <= label else words[: label - 1] + "…"
        bar = ""
        took = span.state
        if span.start is not None and span.end is not None:
            took = seconds_text(span.end - span.start)
            scale = room / last if last else 0.0
            first = min(room - 1, int(span.start * scale))
            size = max(1, min(room, round(span.end * scale)) - first)
            bar = " " * first + ("█" if span.critical else "━") * size
        line = f"{'*' if span.critical else ' '} {name:<{label}} "
        line += f"{bar:<{room}} {took:>10}" if room >= 6 else f"{took:>10}"
        lines.append(line[:width].rstrip())
    return lines
