"""How long a process takes to be ready: `import agentflow`, and `agentflow --help`."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.timing import interleave, process_seconds

__all__ = ["HELP", "IMPORT"]

_HELP = "import sys; sys.argv[1:] = ['--help']; from agentflow._cli import main; main()"


def _import(setting: Setting) -> Sequence[Figure]:
    contest = interleave(
        lambda: process_seconds("import agentflow"),
        lambda: process_seconds("import asyncio"),
        5 if setting.quick else 21,
    )
    return [
        Figure("import agentflow / import asyncio", contest.ratio, "x", Bar("<=", 3)),
        Figure("import agentflow", contest.ours * 1000, "ms"),
        Figure("import asyncio", contest.theirs * 1000, "ms"),
    ]


def _help(setting: Setting) -> Sequence[Figure]:
    process_seconds(_HELP)
    seconds = [process_seconds(_HELP) for _ in range(3 if setting.quick else 11)]
    return [Figure("median", median(seconds), "s", Bar("<=", 0.5)), Figure("fastest", min(seconds), "s")]


IMPORT = Measure("import", "A process that imports agentflow, against one that imports asyncio.", _import)
HELP = Measure("help", "A process that prints the help of the command line.", _help)
