"""What `agentflow bench asynclm` does beyond its measures: one setting, chart, tables, training data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from agentflow.errors import UserError
from agentflow_bench.asynclm.chart import as_svg
from agentflow_bench.asynclm.latency import Case, Latencies, as_json, mean, run_tasks
from agentflow_bench.asynclm.simulate import MODES
from agentflow_bench.asynclm.tables import as_markdown, commands, losses, per_task
from agentflow_bench.asynclm.task import pace, read_tasks
from agentflow_bench.asynclm.training import write_traces
from agentflow_bench.measure import Setting

__all__ = ["chart_and_tables", "make_traces", "one_setting"]


def one_setting(data: Path | None, setting: str, tps: int, *, as_text: bool) -> str:
    """Return what each task of a file took in one setting at one speed: JSON, or a table.

    Raises `UserError` for a file, a setting or a speed that won't do.
    """
    if data is None:
        raise UserError("no tasks: give --data FILE or set AGENTFLOW_ASYNCLM")
    if tps < 1:
        raise UserError(f"--tps must be 1 or more tokens a second, not {tps}")
    at = pace(setting, tps)
    tasks = read_tasks(data)
    cases = [Case(task, setting, tps, taken) for task, taken in zip(tasks, run_tasks(tasks, at), strict=True)]
    if not as_text:
        return json.dumps(as_json(setting, tps, cases), indent=2)
    lines = [
        f"{len(cases)} tasks, {setting}, {tps} tokens/s",
        f"{'mode':<16} {'sum, s':>10} {'sooner than one by one':>23}",
    ]
    for mode in MODES:
        total = sum(case.taken[mode].seconds for case in cases)
        sooner = mean([case.taken["sync_sequential"].seconds / case.taken[mode].seconds for case in cases])
        lines.append(f"{mode:<16} {total:>10.3f} {sooner:>22.2f}x")
    return "\n".join(lines)


def chart_and_tables(
    folder: Path, result: dict[str, object], latencies: Latencies, setting: Setting
) -> list[Path]:
    """Add the tables to the report in `folder`, draw the chart beside it, and return what was written."""
    cases = latencies.cases(setting, "chat_api", 100)
    rows, tasks = losses(latencies, setting), per_task(cases)
    panels: Mapping[str, list[Case]] = {
        f"{name}, {tps} tokens/s": list(latencies.cases(setting, name, tps))
        for name, tps in (("local", 50), ("chat_api", 100))
    }
    chart = folder / "asynclm.svg"
    chart.write_text(as_svg(panels))
    page = folder / "asynclm.md"
    picture = "![How much sooner than one by one, by the number of calls](asynclm.svg)"
    page.write_text(f"{page.read_text()}\n{picture}\n\n{commands(result)}\n{as_markdown(rows, tasks)}")
    data = folder / "asynclm.json"
    data.write_text(json.dumps({**result, "losses": rows, "per_task": tasks}, indent=2) + "\n")
    return [chart]


def make_traces(file: Path, samples: int, seed: int, tps: int | None) -> str:
    """Write training data and return a line about it."""
    if samples < 1:
        raise UserError(f"--samples must be 1 or more, not {samples}")
    tokens = write_traces(file, samples, seed, tps)
    return f"wrote {file}: {samples} traces, {tokens} tokens of the model's own"
