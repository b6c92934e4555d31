"""Trying all cases: hundreds at once on one Runtime, kept as they end, gone on with after a crash."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agentflow._cli.say import print_data, print_error
from agentflow.errors import UserError
from agentflow.runtime import Context, Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.runtime.sqlite import forget
from agentflow_bench.report import command_line, environment
from agentflow_bench.trials.chart import as_svg
from agentflow_bench.trials.page import as_markdown, as_text, common
from agentflow_bench.trials.progress import Progress
from agentflow_bench.trials.row import Row, row_of
from agentflow_bench.trials.summary import summary
from agentflow_bench.trials.traces import Traces
from agentflow_bench.trials.trial import Score, Trials, slug

__all__ = ["Keeping", "run_trials", "try_all", "write"]

Task = TypeVar("Task")


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where things are kept: reports in `out`, journals in `journals`; `fresh` forgets what is known."""

    out: Path = Path("benchmarks/results")
    journals: Path = Path(".agentflow")
    fresh: bool = False
    traces: bool = False
    quiet: bool = False


def run_trials(
    trials: Sequence[Trials[Task]], keeping: Keeping, *, as_data: bool = False, where: str = ""
) -> int:
    """Try the cases of each of `trials`, write rows, page and chart, print, and return the exit status.

    The same command goes on after a crash or Ctrl-C; what is answered is not asked again. Several
    trials end on a page that has them side by side. `where` says where the cases are from. Raises
    `UserError` for a folder that can't be written, before anything is asked where that shows.
    """
    results: list[dict[str, object]] = []
    _written(keeping.out, {})  # a folder that can't be is told before anything is asked
    for each in trials:
        began = time.perf_counter()
        try:
            rows = _sit(each, keeping)
        except KeyboardInterrupt:
            sys.stderr.write("\nstopped; the same command goes on with it\n")
            return 130
        told = summary(each, rows, time.perf_counter() - began)
        results.append(told)
        for file in write(keeping.out, each, rows, told, where):
            _say(f"wrote {file}", keeping)
    if len(trials) > 1:
        for file in _write_together(keeping.out, trials, results, where):
            _say(f"wrote {file}", keeping)
    data = results[0] if len(results) == 1 else results
    print_data(json.dumps(data, indent=2, ensure_ascii=False) if as_data else as_text(trials, results))
    return int(any(told["failed"] for told in results))


async def try_all(
    trials: Trials[Task],
    runtime: Runtime,
    *,
    traces: Traces | None = None,
    told: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Return the row of each case, in the cases' order; `told` is told each as it ends.

    What the Runtime's journal knows is not tried again, but for cases that failed.
    """
    cases = {case.key: case for case in trials.cases}

    async def one(context: Context[object], key: str) -> Score:
        case = cases[key]
        if traces is not None:
            traces.begin(context.run_id, case.id)
        return await trials.solve(context, case.task)

    rows: dict[str, Row] = {}
    async with runtime.map(one, list(cases), key=lambda key: key, concurrency=trials.concurrency) as results:
        async for result in results:
            case = cases[str(result.key)]
            if trials.judge is not None and result.error is None:
                result.value = trials.judge(case.task, result.output)
            rows[case.id] = row_of(case, result)
            told(rows[case.id])
            await asyncio.sleep(0)
    return [rows[case.id] for case in trials.cases]


def _sit(trials: Trials[Task], keeping: Keeping) -> list[Row]:
    """Try the cases with a journal of the trials' name. Ctrl-C passes through, with all that ended kept."""
    journal = keeping.journals / f"{trials.name}.db"
    traces = Traces(keeping.out / f"{trials.name}.traces") if keeping.traces else None
    if keeping.fresh:
        forget(journal)
        for file in [] if traces is None else traces.folder.glob("*.jsonl"):
            file.unlink()
    progress = Progress(len(trials.cases), label=trials.name, quiet=keeping.quiet)

    async def work() -> list[Row]:
        sinks = [] if traces is None else [traces.take]
        async with Runtime(journal=journal, sinks=sinks) as runtime:
            return await try_all(trials, runtime, traces=traces, told=progress.take)

    try:
        return run_in(lambda: new_loop(trials.clock), work())
    finally:
        progress.end()
        if traces is not None:
            traces.close()
            if traces.fault is not None:
                print_error(f"can't write traces: {traces.fault}; the trials went on without them")


def write(
    out: Path, trials: Trials[Task], rows: Sequence[Row], told: dict[str, object], where: str
) -> list[Path]:
    """Write rows, page and chart into `out`, and return their paths."""
    name = trials.name
    chart = as_svg([told], trials.bench)
    texts = {
        f"{name}.jsonl": "".join(row.as_line() + "\n" for row in rows),
        f"{name}.json": json.dumps(told, indent=2, ensure_ascii=False) + "\n",
        f"{name}.md": as_markdown(
            [trials], [told], command_line(), where, environment(), f"{name}.svg" if chart else None
        ),
    }
    return _written(out, {**texts, **({f"{name}.svg": chart} if chart else {})})


def _write_together(
    out: Path, trials: Sequence[Trials[Task]], results: Sequence[dict[str, object]], where: str
) -> list[Path]:
    bench = trials[0].bench
    name = "-".join([bench, *map(slug, common(trials))])
    chart = as_svg(results, bench)
    picture = f"{name}.svg" if chart else None
    page = as_markdown(trials, results, command_line(), where, environment(), picture)
    return _written(out, {f"{name}.md": page, **({f"{name}.svg": chart} if chart else {})})


def _written(out: Path, texts: dict[str, str]) -> list[Path]:
    """Write files into a folder. Raises `UserError` when that can't be; the journal has all there is."""
    place = out
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            place = out / name
            place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"results {place}: {error.strerror}; name another folder by --out") from None
    return [out / name for name in texts]


def _say(line: str, keeping: Keeping) -> None:
    if not keeping.quiet:
        sys.stderr.write(line + "\n")
