"""A share of the requests fails, in each way that servers fail."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from agentflow_bench.batch.beside import beside
from agentflow_bench.batch.experiment import experiment
from agentflow_bench.batch.rules import FAULTS, FaultName, Rules
from agentflow_bench.batch.served import Served
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.peers import drive, plain_environment
from agentflow_bench.peers.prompto import Prompto

__all__ = ["FAULTY"]

_PROMPTS = 200
_PATIENT: tuple[FaultName, ...] = tuple(kind for kind in FAULTS if kind != "hang")


def _rules(kind: FaultName) -> Rules:
    return Rules(seconds=0.05, jitter=0.5, fault=kind, faulty=0.2, most=3)


def _ours(kind: FaultName, count: int, *options: object) -> list[Figure]:
    with Served(_rules(kind)) as server, experiment(server.url, count) as made:
        ran = made.run("--concurrency", 32, *options, timeout=600)
        right, record = made.right(), server.record()
    note = f"{record.come} requests, {ran.number('wall_s'):.1f} s"
    told = (
        "a time-out of 1 s"
        if options
        else "each request waits for as long as answers have taught, 10 s at least"
    )
    figures = [Figure(f"{kind}: prompts right", right, bar=Bar("==", count), note=note)]
    if kind == "hang":
        figures.append(Figure("hang: in all", ran.number("wall_s"), "s", note=told))
    return figures


def _prompto(kind: FaultName) -> Sequence[Figure]:
    with Served(_rules(kind)) as server, TemporaryDirectory() as folder:
        prompto = Prompto(Path(folder), server.url)
        prompto.run(prompto.write(_PROMPTS), 3000)
        return [Figure(f"{kind}: prompts right, prompto", prompto.right())]


def _litellm(kind: FaultName) -> Sequence[Figure]:
    with Served(_rules(kind)) as server:
        words = (server.url, _PROMPTS, 32, 4, 0)
        found = drive("litellm", "litellm_driver", words, plain_environment(server.url))
        return [Figure(f"{kind}: prompts right, litellm", found["right"], note="4 retries")]


def _faulty(setting: Setting) -> Sequence[Figure]:
    count = 60 if setting.quick else _PROMPTS
    with ThreadPoolExecutor(3) as pool:
        # It waits for minutes, and costs nothing meanwhile.
        hung = pool.submit(_ours, "hang", count, *(("--timeout", 1) if setting.quick else ()))
        ours = [pool.submit(_ours, kind, count) for kind in _PATIENT]
        figures = [figure for rows in ours for figure in rows.result()]
        for peer, ask in (("prompto", _prompto), ("litellm", _litellm)):
            rows = [pool.submit(beside, setting, f"{kind}: {peer}", partial(ask, kind)) for kind in _PATIENT]
            figures += [figure for row in rows for figure in row.result()]
        return figures + hung.result()


FAULTY = Measure(
    "faults",
    "200 prompts, 20 % of the requests fail in one way, a prompt at most three times;"
    " peers beside (prompto waits 300 s for a hung request, so that kind is left out).",
    _faulty,
)
