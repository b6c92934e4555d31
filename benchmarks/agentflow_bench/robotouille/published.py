"""What others measured, to stand beside what is measured here.

The table of the project site of Gonzalez-Pumariega et al., "Robotouille: An Asynchronous Planning
Benchmark for LLM Agents", ICLR 2025, arXiv 2502.05227: success of gpt-4o in per cent of ten seeds a task.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentflow_bench.trials import Published

__all__ = ["SOURCE", "published"]

SOURCE = "Gonzalez-Pumariega et al., ICLR 2025, arXiv 2502.05227, project site"

_GPT_4O: Mapping[str, Mapping[str, tuple[tuple[int, ...], float]]] = {
    "synchronous": {
        "io": ((20, 0, 10, 0, 0, 10, 0, 0, 0, 0), 0.04),
        "io-cot": ((40, 20, 30, 10, 0, 20, 0, 10, 10, 0), 0.14),
        "react": ((70, 80, 80, 40, 60, 20, 50, 30, 20, 20), 0.47),
    },
    "asynchronous": {
        "io": ((10, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0.01),
        "io-cot": ((0, 0, 0, 0, 10, 0, 0, 0, 0, 0), 0.01),
        "react": ((20, 30, 40, 10, 0, 10, 0, 0, 0, 0), 0.11),
    },
}

_OTHERS: Mapping[str, tuple[float, float]] = {  # ReAct: synchronous, asynchronous
    "gpt-4o-mini": (0.11, 0.0),
    "Qwen2-72B": (0.07, 0.02),
    "Qwen2-32B": (0.06, 0.01),
    "claude-3-haiku": (0.02, 0.0),
    "Llama-3.1-70B": (0.02, 0.0),
    "Llama-3.1-8B": (0.01, 0.0),
}


def published(suite: str) -> list[Published]:
    """Return what is known of a suite: gpt-4o by task, and other models by ReAct as a whole."""
    if suite not in _GPT_4O:
        return []
    found = [
        Published(
            f"gpt-4o, {agent}",
            SOURCE,
            share,
            {"task": {f"{suite} {task}": value / 100 for task, value in enumerate(shares)}},
        )
        for agent, (shares, share) in _GPT_4O[suite].items()
    ]
    column = 0 if suite == "synchronous" else 1
    return found + [Published(f"{model}, react", SOURCE, shares[column]) for model, shares in _OTHERS.items()]
