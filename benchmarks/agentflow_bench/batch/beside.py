"""Peers' rows: what a peer does, or why there is no row of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agentflow_bench.measure import Figure, Setting
from agentflow_bench.peers import Absent

__all__ = ["beside"]


def beside(setting: Setting, name: str, measure: Callable[[], Sequence[Figure]]) -> list[Figure]:
    """Return a peer's figures; one that says why when it is not here; none in quick mode."""
    if setting.quick:
        return []
    try:
        return list(measure())
    except (Absent, RuntimeError) as why:
        return [Figure(name, 0, note=f"no figure: {why}")]
