"""All tasks in all modes: what each took, run once and kept for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from agentflow.runtime import Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow_bench.asynclm.oracle import RULES
from agentflow_bench.asynclm.simulate import MODES, Taken, simulate
from agentflow_bench.asynclm.task import Pace, Task, pace, read_tasks
from agentflow_bench.measure import Setting, Skipped

__all__ = ["Case", "Latencies", "as_json", "mean", "run_tasks"]

_QUICK = 12  # tasks, when there is little time


@dataclass(frozen=True, slots=True)
class Case:
    """One task in one setting at one speed, and what each mode took."""

    task: Task
    setting: str
    tps: int
    taken: Mapping[str, Taken]

    def expected(self, mode: str) -> float | None:
        """Return the seconds that the task file tells, else what the rules say, else None."""
        known = self.task.known(self.setting, self.tps, mode)
        if known is None and mode in RULES:
            return RULES[mode](self.task, pace(self.setting, self.tps))
        return known

    def beyond(self, mode: str, other: str) -> float:
        """Return the seconds of `mode` beyond what `other` is expected to take; 0 when that is unknown."""
        known = self.expected(other)
        return 0.0 if known is None else self.taken[mode].seconds - known

    def ratio(self, mode: str, other: str) -> float | None:
        """Return the seconds of `mode` by those that `other` is expected to take."""
        known = self.expected(other)
        return None if known is None else self.taken[mode].seconds / known


class Latencies:
    """The cases of a task file, simulated when they are first asked for."""

    def __init__(self) -> None:
        self._cases: dict[tuple[Path, bool, str, int], list[Case]] = {}
        self._tasks: dict[tuple[Path, bool], list[Task]] = {}

    def tasks(self, setting: Setting) -> Sequence[Task]:
        """Return the tasks; with `quick` a dozen of them. Raises `Skipped` when there is no file."""
        if setting.data is None:
            raise Skipped("no tasks: give --data or set AGENTFLOW_ASYNCLM")
        key = (setting.data, setting.quick)
        if key not in self._tasks:
            tasks = read_tasks(setting.data)
            self._tasks[key] = tasks[:: max(1, len(tasks) // _QUICK)] if setting.quick else tasks
        return self._tasks[key]

    def cases(self, setting: Setting, name: str, tps: int) -> Sequence[Case]:
        """Return the cases in the setting `name` at a speed."""
        tasks = self.tasks(setting)
        assert setting.data is not None
        key = (setting.data, setting.quick, name, tps)
        if key not in self._cases:
            taken = run_tasks(tasks, pace(name, tps))
            self._cases[key] = [Case(task, name, tps, each) for task, each in zip(tasks, taken, strict=True)]
        return self._cases[key]


def run_tasks(tasks: Sequence[Task], at: Pace, modes: Sequence[str] = tuple(MODES)) -> list[dict[str, Taken]]:
    """Return what each task took in each mode, on a virtual clock of its own."""
    return run_in(lambda: new_loop("virtual"), _run_tasks(tasks, at, modes))


async def _run_tasks(tasks: Sequence[Task], at: Pace, modes: Sequence[str]) -> list[dict[str, Taken]]:
    async with Runtime() as runtime:
        return [{mode: await simulate(runtime, task, at, mode) for mode in modes} for task in tasks]


def as_json(setting: str, tps: int, cases: Sequence[Case]) -> dict[str, object]:
    """Return the seconds of each task in each mode, and their sums."""
    seconds = [{mode: round(taken.seconds, 6) for mode, taken in case.taken.items()} for case in cases]
    return {
        "setting": setting,
        "tps": tps,
        "tasks": [{"id": case.task.id, "modes": modes} for case, modes in zip(cases, seconds, strict=True)],
        "sum": {mode: round(sum(modes[mode] for modes in seconds), 6) for mode in MODES},
    }


def mean(values: Sequence[float | None]) -> float:
    """Return the mean of those that are known, 0 when none is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else 0.0
