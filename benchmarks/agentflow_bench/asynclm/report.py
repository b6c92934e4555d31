"""What `agentflow bench asynclm` does beyond its measures: one setting, chart, tables, training data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentflow.errors import UserError
from agentflow_bench.asynclm.chart import as_svg
from agentflow_bench.asynclm.latency import Case, Latencies, as_json, mean, run_tasks
from agentflow_bench.asynclm.simulate import MODES
from agentflow_bench.asynclm.tables import as_markdown, commands, losses, per_task
from agentflow_bench.asynclm.task import pace, read_tasks
from agentflow_bench.asynclm.training import write_traces
from agentflow_bench.asynclm.trials import asked, simulated
from agentflow_bench.measure import Setting
from agentflow_bench.trials import run_trials
from agentflow_bench.trials.asked import AskedModel
from agentflow_bench.trials.run import Keeping

__all__ = ["Wish", "ask_model", "chart_and_tables", "make_traces", "one_setting"]


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


@dataclass(frozen=True, slots=True)
class Wish:
    """Which model shall do the tasks, on which carriers; setting and speed are the simulated model's."""

    data: Path | None
    model: AskedModel
    carriers: Sequence[str] = ()
    setting: str | None = None
    tps: int | None = None
    count: int | None = None
    concurrency: int = 8


def ask_model(wish: Wish, keeping: Keeping, *, as_data: bool = False) -> int:
    """Have a model do the tasks on each carrier, write and print what came of it, and return the status.

    The model `simulated` writes the calls that a perfect one would write, in the setting and at the speed
    that are said (`chat_api`, 100). Raises `UserError`.
    """
    if wish.data is None:
        raise UserError("no tasks: give --data FILE or set AGENTFLOW_ASYNCLM")
    if wish.count is not None and wish.count < 1:
        raise UserError(f"--n must be 1 or more, not {wish.count}")
    if wish.concurrency < 1:
        raise UserError(f"--concurrency must be 1 or more, not {wish.concurrency}")
    tasks = read_tasks(wish.data)[: wish.count]
    if wish.model.name == "simulated":
        setting, tps = wish.setting or "chat_api", 100 if wish.tps is None else wish.tps
        if tps < 1:
            raise UserError(f"--tps must be 1 or more tokens a second, not {tps}")
        at = pace(setting, tps)
        trials = [simulated(tasks, setting, at, mode) for mode in dict.fromkeys(wish.carriers or MODES)]
    elif wish.setting is not None or wish.tps is not None:
        raise UserError(f"--setting and --tps are the simulated model's; {wish.model.name} has its own speed")
    else:
        carriers = dict.fromkeys(wish.carriers or ["native"])
        trials = [asked(tasks, wish.model, carrier, wish.concurrency) for carrier in carriers]
    return run_trials(trials, keeping, as_data=as_data, where=f"{len(tasks)} tasks of {wish.data.name}")


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
