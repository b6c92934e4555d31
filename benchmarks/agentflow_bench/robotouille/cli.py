"""The options of `agentflow bench robotouille`, as an argument of its command each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Agents",
    "CaseName",
    "Mishaps",
    "Models",
    "Prior",
    "Replay",
    "Seeds",
    "Speed",
    "Suites",
    "TaskFiles",
    "TaskNames",
    "Traces",
    "Watch",
]

Suites = Annotated[
    list[str] | None,
    typer.Option("--suite", metavar="NAME", help="synchronous, asynchronous or multi_agent. Repeatable."),
]
Agents = Annotated[
    list[str] | None,
    typer.Option("--agent", metavar="NAME", help="Who plays: planner, react, plag-bag, … Repeatable."),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="MODEL", help="Which model: openai:NAME, oracle, … Repeatable."),
]
TaskNames = Annotated[
    list[str] | None, typer.Option("--task", metavar="NAME", help="Only this task, such as 3. Repeatable.")
]
Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="LIST", help="Such as 42,84 or 1-50, or none: the tasks as drawn. Default: the ten."
    ),
]
TaskFiles = Annotated[
    Path | None, typer.Option("--tasks", metavar="PATH", help="The original's task files instead of ours.")
]
Replay = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Replay walks of the original, and tell what differs.")
]
Watch = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Show an episode of a result, move by move.")
]
Speed = Annotated[float, typer.Option(metavar="N", help="With --watch: moves a second.")]
CaseName = Annotated[
    str | None, typer.Option("--case", metavar="ID", help="With --watch: such as asynchronous/3/42.")
]
Prior = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Further rules, told after each observation.")
]
Mishaps = Annotated[
    bool, typer.Option("--mishaps", help="Once an episode, what was cut is not cut any more.")
]
Traces = Annotated[bool, typer.Option("--traces", help="Keep every event of each episode.")]
