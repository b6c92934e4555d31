"""Errors and stragglers at the pace of a limit: how much longer than the limit alone it takes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from agentflow_bench.batch.beside import beside
from agentflow_bench.batch.experiment import experiment
from agentflow_bench.batch.rules import Rules
from agentflow_bench.batch.served import Record, Served
from agentflow_bench.measure import Bar, Figure, Measure, Setting, Skipped
from agentflow_bench.peers.prompto import Prompto

__all__ = ["MAKESPAN"]

# All times are half of those of 1,000 prompts at 600 a minute that take 0.5 s, so is the ideal.
_RULES = Rules(seconds=0.25, jitter=0.5, stragglers=0.02, slow=30.0, fault="503", faulty=0.3)
# Half as many for prompto, at half the rate: more than 14 a second are too many for it.
_SMALL, _SLOW = 500, 600


def _stretch(record: Record, rate: float) -> tuple[float, float]:
    """Return the seconds from the first request to the last answer, and those over the paced ideal."""
    seconds = max(seen.sent or seen.at for seen in record.requests) - record.requests[0].at
    return seconds, seconds / (record.come * 60 / rate)


def _ours(count: int, rate: int) -> list[Figure]:
    with Served(_RULES) as server, experiment(server.url, count) as made:
        made.run("-mq", rate, "-ma", 20)
        record, right = server.record(), made.right()
    seconds, stretch = _stretch(record, rate)
    name = f"{count:,} prompts at {rate:,} a minute"
    note = f"{record.come} requests in {seconds:.1f} s"
    return [
        Figure(f"{name}: makespan / paced ideal", stretch, "x", Bar("<=", 1.15), note),
        Figure(f"{name}: prompts right", right, bar=Bar("==", count)),
    ]


def _prompto() -> Sequence[Figure]:
    with Served(_RULES) as server, TemporaryDirectory() as folder:
        prompto = Prompto(Path(folder), server.url)
        prompto.run(prompto.write(_SMALL), _SLOW, attempts=20)
        record = server.record()
        right = prompto.right()
    seconds, stretch = _stretch(record, _SLOW)
    name = f"prompto, {_SMALL} prompts at {_SLOW} a minute"
    return [
        Figure(
            f"{name}: makespan / paced ideal", stretch, "x", note=f"{record.come} requests in {seconds:.1f} s"
        ),
        Figure(f"{name}: prompts right", right),
    ]


def _makespan(setting: Setting) -> Sequence[Figure]:
    if setting.quick:
        raise Skipped("waits for more than a minute: not with --quick")
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(beside, setting, "prompto", _prompto)
        return _ours(1000, 1200) + other.result()


MAKESPAN = Measure(
    "makespan", "30 % errors and 2 % stragglers, thirty times as slow, at a limit's pace.", _makespan
)
