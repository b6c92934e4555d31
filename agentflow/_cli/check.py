"""`agentflow check`: validate workflow files, and ask their endpoints when told to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentflow._cli.options import Json, Model, NoColor, Quiet
from agentflow._cli.say import as_json, note, print_data

if TYPE_CHECKING:
    from agentflow.endpoints import Endpoint
    from agentflow_protocols.chat import Json as JsonValue
    from agentflow_protocols.workflow import Parsed, Problem

__all__ = ["check"]

_ASKED = ("prefill", "parallel_tool_calls", "late_tool_results")


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Workflow files.")],
    endpoints: Annotated[
        bool, typer.Option("--endpoints", help="Ask each endpoint, and what it can do.")
    ] = False,
    model: Model = None,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Validate workflow files without running anything of them."""
    from agentflow.workflow import WorkflowError, check_workflow
    from agentflow.workflow.check import folder_of
    from agentflow.workflow.reviews import review_outline
    from agentflow.workflow.tournament_faults import tournament_outline

    found: list[dict[str, object]] = []
    status = 0
    for file in files:
        try:
            parsed = check_workflow(file, model=model)
            problems = parsed.problems
        except WorkflowError as error:
            problems = error.problems
        for problem in problems:
            note(str(problem), quiet=as_data)
        entry: dict[str, object] = {
            "file": str(file),
            "valid": not problems,
            "errors": _problem_list(problems),
        }
        if problems:
            status = 2
        elif endpoints and parsed.workflow is not None:
            entry["endpoints"], code = _ask(parsed, model, as_data, quiet)
            status = max(status, code)
        outline = None if problems else review_outline(parsed)
        if outline is not None:
            entry["review"] = outline
        planned = None if problems else tournament_outline(parsed, folder_of(parsed))
        if planned is not None:
            entry["tournament"] = planned
        if not problems and not as_data and not quiet:
            print_data(f"{file}: ok{_outlined(outline)}{_planned(planned)}")
        found.append(entry)
    if as_data:
        print_data(as_json({"valid": status == 0, "files": found}))
    raise typer.Exit(status)


def _outlined(review: Mapping[str, JsonValue] | None) -> str:
    """Return how much there is to do in a review, as the end of a line."""
    if review is None or not isinstance(looks := review["looks"], list):
        return ""
    several = f"{looks[0]} to {looks[1]}" if looks[0] != looks[1] else str(looks[0])
    if review["records"] is None:
        return f"; a review with {several} looks for each record"
    return f"; {review['records']} records, {several} looks"


def _planned(tournament: Mapping[str, JsonValue] | None) -> str:
    """Return how much there is to do in a tournament, as the end of a line."""
    if tournament is None:
        return ""
    given, most, matches = (tournament[name] for name in ("items", "most_items", "most_matches"))
    items = f"{'up to ' if given != most else ''}{most} items" if most is not None else "a tournament"
    return f"; {items}" + (f", at most {matches} matches" if matches is not None else "")


def _ask(
    parsed: Parsed, model: str | None, as_data: bool, quiet: bool
) -> tuple[list[dict[str, object]], int]:
    """Ask every endpoint for one token, and what it can do; return what came, and the exit status."""
    import asyncio

    from agentflow.workflow.build import build_endpoints

    assert parsed.workflow is not None
    endpoints = build_endpoints(parsed.workflow, parsed, model)
    for endpoint in endpoints.values():
        endpoint.check()
    answers = asyncio.run(_ask_all(endpoints))
    for answer in answers:
        state = answer["error"] or f"ok in {answer['seconds']} s"
        if isinstance(answer["limits"], dict):
            state = "; ".join([str(state), *(f"{key} {value:g}" for key, value in answer["limits"].items())])
        if isinstance(answer["capabilities"], dict):
            told = (f"{key} {value}" for key, value in answer["capabilities"].items())
            state = f"{state}; can: {', '.join(told)}"
        note(f"  {answer['endpoint']} ({answer['model']}): {state}", quiet=as_data or quiet)
    return answers, int(any(answer["error"] for answer in answers))


async def _ask_all(endpoints: Mapping[str, Endpoint]) -> list[dict[str, object]]:
    import asyncio

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_ask_one(name, endpoint)) for name, endpoint in endpoints.items()]
    return [task.result() for task in tasks]


async def _ask_one(name: str, endpoint: Endpoint) -> dict[str, object]:
    import time
    from dataclasses import asdict

    from agentflow.endpoints import probe
    from agentflow.errors import AgentflowError
    from agentflow_protocols.chat import ChatRequest, Settings

    began, fault, found = time.monotonic(), None, None
    seconds = 0.0
    prompt = "ping" if endpoint.name.startswith("in-flight:") else None  # such a model takes no messages
    try:
        if prompt is None:
            await endpoint.complete("ping", settings=Settings(max_tokens=1))
        else:
            async with (
                endpoint,
                endpoint.stream(ChatRequest([], prompt=prompt, settings=Settings(max_tokens=1))) as s,
            ):
                async for _ in s:
                    pass
        seconds = round(time.monotonic() - began, 3)
        can = await probe(endpoint)
        found = {field: getattr(can, field) for field in _ASKED}
    except AgentflowError as error:
        fault = str(error)
    limits = {key: value for key, value in asdict(endpoint.limits).items() if value is not None}
    return {
        "endpoint": name,
        "model": endpoint.name,
        "seconds": seconds or round(time.monotonic() - began, 3),
        "error": fault,
        "limits": limits,
        "capabilities": found,
    }


def _problem_list(problems: list[Problem]) -> list[dict[str, object]]:
    """Return problems as JSON."""
    return [{"file": p.file, "line": p.line, "column": p.column, "message": p.message} for p in problems]
