"""A run on each carrier, cancelled at each of its await points: nothing is left, and it can go on."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import tempfile
import warnings
from collections.abc import Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agentflow.agent import Agent
from agentflow.errors import RunError
from agentflow.runtime import Context, Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.testing import assert_nothing_left
from agentflow_bench.asynclm.simulate import MODES
from agentflow_bench.asynclm.task import Pace, Task, TaskCall
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["CANCEL_POINTS"]

_PACE = Pace(50, 0.01, 0.06)
_TASK = Task(
    "cancelled",
    "a chain beside a call",
    "Do it.",
    [
        TaskCall("a1", "look", {"n": 1}, 6, 0.1, []),
        TaskCall("b1", "look", {"n": 2}, 6, 0.3, []),
        TaskCall("a2", "look", {"n": 3}, 6, 0.05, ["a1"]),
    ],
    6,
)


_MODES = ("native", "native_refs", "cml_chat", "cml_text", "in_flight")


class _CancelAt:
    """Await `work`, and cancel the task at the await point of this number."""

    def __init__(self, work: Coroutine[object, object, str], number: int) -> None:
        self._work = work
        self._number = number

    def __await__(self) -> Generator[object, object, str]:
        answer: object = None
        error: BaseException | None = None
        for reached in itertools.count(1):
            try:
                waits = self._work.send(answer) if error is None else self._work.throw(error)
            except StopIteration as end:
                return str(end.value)
            task = asyncio.current_task()
            if reached == self._number and task is not None:
                task.cancel()
            try:
                answer, error = (yield waits), None
            except BaseException as raised:
                answer, error = None, raised
        raise AssertionError


class _Cancelled:
    """An agent whose run is cancelled at its await point `number`."""

    def __init__(self, agent: Agent[object, str], number: int) -> None:
        self.name = agent.name
        self.limits = agent.limits
        self._agent = agent
        self._number = number

    async def __run__(self, context: Context[object], text: str, /) -> str:
        return await _CancelAt(self._agent.__run__(context, text), self._number)


def _cancel_points(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    stride = 7 if setting.quick else 1
    faults: list[str] = []
    for mode in _MODES:
        with tempfile.TemporaryDirectory() as folder, _complaints(faults):
            points = run_in(lambda: new_loop("virtual"), _everywhere(mode, Path(folder), stride, faults))
            gc.collect()
        figures.append(Figure(f"await points of a run on {mode}", points))
    told = "; ".join(dict.fromkeys(faults))[:300]
    return [
        *figures,
        Figure("left running, warned of, or wrong when gone on with", len(faults), "", Bar("==", 0), told),
    ]


async def _everywhere(mode: str, folder: Path, stride: int, faults: list[str]) -> int:
    """Cancel at every await point, go on from the journal, and return how many points there are."""
    asyncio.get_running_loop().set_exception_handler(lambda _, about: faults.append(str(about["message"])))
    for number in itertools.count(1, stride):
        try:
            async with assert_nothing_left():
                if await _cancelled(mode, folder / f"{number}.db", number, faults):
                    return number - 1
        except AssertionError as error:
            faults.append(str(error))
    raise AssertionError


async def _cancelled(mode: str, journal: Path, number: int, faults: list[str]) -> bool:
    """Cancel one run and go on with it; return whether it had ended before its point came."""
    made, again = MODES[mode](_TASK, _PACE), MODES[mode](_TASK, _PACE)
    async with Runtime(journal) as runtime:
        async with runtime.start(_Cancelled(made.agent, number), made.question) as run:
            try:
                await run.result()
            except RunError:
                if run.status != "cancelled":
                    faults.append(f"point {number}: {run.status}")
            else:
                return True
        async with runtime.resume(run.id, again.agent) as resumed:
            answer = (await resumed.result()).output
            if not str(answer).strip().startswith("Done: a1"):
                faults.append(f"point {number}: went on to {answer!r}")
    return False


@contextmanager
def _complaints(faults: list[str]) -> Iterator[None]:
    """Take down warnings, and errors that nobody could be told of."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda about: faults.append(str(about.exc_value))
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
            faults += [str(warning.message) for warning in caught]
    finally:
        sys.unraisablehook = before


CANCEL_POINTS = Measure(
    "cancel_points", "A run on each carrier, cancelled at each await point, and gone on with.", _cancel_points
)
