"""Runs a chain and a fan-out of no-op nodes by langgraph: `langgraph_driver.py STEPS FILE` ("-": none)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Annotated, Any, TypedDict

__all__ = ["main"]


def _add(left: int, right: int) -> int:
    return left + right


class _State(TypedDict):
    done: Annotated[int, _add]


async def _nothing(state: _State) -> dict[str, int]:
    return {"done": 1}


def _graph(steps: int, chain: bool) -> Any:
    from langgraph.graph import END, START, StateGraph  # type: ignore[import-not-found]

    graph = StateGraph(_State)
    for number in range(steps):
        graph.add_node(f"n{number}", _nothing)
        before = f"n{number - 1}" if chain and number else START
        graph.add_edge(before, f"n{number}")
        if not chain:
            graph.add_edge(f"n{number}", END)
    if chain:
        graph.add_edge(f"n{steps - 1}", END)
    return graph


async def _run(steps: int, chain: bool, file: str) -> float:
    graph = _graph(steps, chain)
    config = {"recursion_limit": steps + 5, "configurable": {"thread_id": "1"}, "max_concurrency": steps}
    if file == "-":
        compiled = graph.compile()
        began = time.perf_counter()
        state = await compiled.ainvoke({"done": 0}, config)
        took = time.perf_counter() - began
    else:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # type: ignore[import-not-found]

        async with AsyncSqliteSaver.from_conn_string(file) as saver:
            compiled = graph.compile(checkpointer=saver)
            began = time.perf_counter()
            state = await compiled.ainvoke({"done": 0}, config, durability="sync")
            took = time.perf_counter() - began
    assert state["done"] == steps, state
    return took / steps * 1e6


def main() -> None:
    """Print microseconds a step, and the file's size."""
    steps, file = int(sys.argv[1]), sys.argv[2]
    figures: dict[str, float] = {}
    for kind, chain in (("chain", True), ("fan", False)):
        best = float("inf")
        for attempt in range(1 if file != "-" else 3):
            path = file if file == "-" else f"{file}-{kind}-{attempt}"
            best = min(best, asyncio.run(_run(steps, chain, path)))
            if path != "-":
                figures[f"{kind}_bytes"] = os.path.getsize(path)
        figures[kind] = best
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
