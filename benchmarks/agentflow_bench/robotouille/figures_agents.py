"""What the project's own agents save: the same dishes by the same knowledge, played in three ways.

The oracle knows the chef's plan, so that all agents do the same and only the way of asking differs. Its
`react` reasons in a dozen tokens, where a model writes a hundred: what is saved is told too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.runtime import Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.robotouille.episodes import Playing, choose, episodes
from agentflow_bench.robotouille.instance import Instance
from agentflow_bench.robotouille.openings import CALLS
from agentflow_bench.robotouille.oracle import DELAY, oracle
from agentflow_bench.trials import Row, try_all

__all__ = ["AGENTS_COMPARED", "Taken", "compared"]

_SUITES = ("synchronous", "asynchronous")
_TASKS = ("1", "3", "5", "6")
_SEEDS = (42, 84)
_SPEED = 100.0  # tokens a second
_SINGLE = "async, a call a message"
_WAYS = (("react", "react", CALLS), ("async", "async", CALLS), (_SINGLE, "async", 1), ("plag", "plag", CALLS))


@dataclass(frozen=True, slots=True)
class Taken:
    """What an agent's episodes took, in the mean."""

    goals: int
    calls: float
    input: float
    output: float
    seconds: float
    steps: float

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Taken:
        """Return it for some rows."""

        def mean(values: Sequence[float]) -> float:
            return sum(values) / len(values)

        return cls(
            sum(row.right for row in rows),
            mean([row.requests for row in rows]),
            mean([row.input_tokens for row in rows]),
            mean([row.output_tokens for row in rows]),
            mean([row.seconds for row in rows]),
            mean([float(row.figures.get("steps") or 0) for row in rows]),
        )


def compared(instances: Sequence[Instance]) -> dict[str, Taken]:
    """Return what each way of playing takes, by its name, on the virtual clock."""
    found: dict[str, Taken] = {}
    for name, agent, calls in _WAYS:
        model = oracle(instances, tokens_per_second=_SPEED, calls=calls)
        trials = episodes(Playing(agent, "oracle"), instances, model)

        async def work() -> list[Row]:
            async with Runtime() as runtime:
                return await try_all(trials, runtime)  # noqa: B023

        found[name] = Taken.of(run_in(lambda: new_loop("virtual"), work()))
    return found


def _agents(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    tasks, seeds = (("3", "5"), (42,)) if setting.quick else (_TASKS, _SEEDS)
    for suite in _SUITES:
        instances = choose(suite, tasks, seeds)
        found = compared(instances)
        for name, taken in found.items():
            figures += _figures(f"{suite}, {name}", taken, found["react"], len(instances), name)
    return figures


def _figures(what: str, taken: Taken, react: Taken, count: int, name: str) -> list[Figure]:
    bars = {"async": (0.5, 0.5), _SINGLE: (1.0, 1.0), "plag": (0.1, 0.25)}.get(name)
    calls, seconds = (None, None) if bars is None else (Bar("<=", bars[0]), Bar("<=", bars[1]))
    figures = [
        Figure(f"{what}: reached the goal", taken.goals, f"of {count}", Bar("==", count)),
        Figure(f"{what}: model calls", taken.calls, note="a mean, as all below"),
        Figure(f"{what}: input tokens", taken.input),
        Figure(f"{what}: output tokens", taken.output),
        Figure(f"{what}: virtual time", taken.seconds, "s", note=f"{DELAY} s a call, {_SPEED:g} tokens/s"),
        Figure(f"{what}: steps", taken.steps),
    ]
    if bars is not None:
        figures += [
            Figure(f"{what}: calls / react's", taken.calls / react.calls, "x", calls),
            Figure(f"{what}: time / react's", taken.seconds / react.seconds, "x", seconds),
            Figure(f"{what}: steps / react's", taken.steps / react.steps, "x", Bar("<=", 1.05)),
        ]
    return figures


AGENTS_COMPARED = Measure(
    "agents",
    "One knowledge, played step by step, by calls that run beside the model, and by one plan.",
    _agents,
)
