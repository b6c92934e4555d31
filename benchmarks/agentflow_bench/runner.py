"""Running a suite: each measure in turn, whatever the others do."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agentflow_bench.measure import Figure, Measure, Setting, Skipped, Suite

__all__ = ["Outcome", "run_suite"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one measure: its figures, or why there are none."""

    measure: Measure
    figures: Sequence[Figure] = ()
    skipped: str | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed and every bar is kept."""
        return self.error is None and all(figure.met for figure in self.figures)


def run_suite(
    suite: Suite,
    setting: Setting,
    *,
    only: Sequence[str] = (),
    said: Callable[[str], None] = lambda line: None,
) -> list[Outcome]:
    """Run the measures of `suite`, or those named in `only`, and return what came of each.

    `said` is told a line of progress. A measure that raises is an outcome with an error.
    """
    outcomes: list[Outcome] = []
    for measure in suite.measures:
        if only and measure.name not in only:
            continue
        said(f"{measure.name}: {measure.what}")
        began = time.perf_counter()
        try:
            figures = _run(measure, setting)
            outcome = Outcome(measure, figures, seconds=time.perf_counter() - began)
        except Skipped as reason:
            outcome = Outcome(measure, skipped=str(reason))
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            outcome = Outcome(measure, error=text, seconds=time.perf_counter() - began)
        outcomes.append(outcome)
    return outcomes


def _run(measure: Measure, setting: Setting) -> Sequence[Figure]:
    found = measure.run(setting)
    return asyncio.run(_awaited(found)) if inspect.isawaitable(found) else found


async def _awaited(found: Awaitable[Sequence[Figure]]) -> Sequence[Figure]:
    return await found
