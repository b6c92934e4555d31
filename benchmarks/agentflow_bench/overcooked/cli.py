"""The options of `agentflow bench overcooked`, as an argument of its command each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Agents",
    "CaseName",
    "Every",
    "Latency",
    "Layouts",
    "Models",
    "Partners",
    "PerTick",
    "Rules",
    "Seeds",
    "Speed",
    "Watch",
]

Agents = Annotated[
    list[str] | None,
    typer.Option(
        "--agent", metavar="NAME", help="Who plays: fsm, block, react, dpt, dual, … or `all`. Repeatable."
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="MODEL", help="What thinks: openai:NAME, …; default: a mind by rules. Repeatable."
    ),
]
Layouts = Annotated[
    list[str] | None, typer.Option("--layout", metavar="NAME", help="Only this kitchen. Repeatable.")
]
Partners = Annotated[
    list[str] | None,
    typer.Option("--partner", metavar="NAME", help="all, onion, dish, idle, or onion-dish@200. Repeatable."),
]
Seeds = Annotated[int, typer.Option("--seeds", metavar="N", help="So many games of each.")]
Latency = Annotated[
    float | None, typer.Option(metavar="TICKS", help="An answer takes so many ticks of virtual time.")
]
PerTick = Annotated[
    float | None,
    typer.Option(
        "--tokens-per-tick", metavar="N", help="An answer takes its tokens divided by this, in ticks."
    ),
]
Every = Annotated[int, typer.Option("--every", metavar="N", help="Ask every so many ticks.")]
Rules = Annotated[
    bool, typer.Option("--rules", help="The model may write rules, which run in a sandbox (extra sandbox).")
]
Watch = Annotated[Path | None, typer.Option(metavar="FILE", help="Show a game of a result, tick by tick.")]
Speed = Annotated[float, typer.Option(metavar="N", help="With --watch: ticks a second.")]
CaseName = Annotated[
    str | None, typer.Option("--case", metavar="ID", help="With --watch: such as cramped_room/onion/3.")
]
