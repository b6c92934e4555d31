"""Memory with 500 requests in flight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from agentflow_bench.batch.beside import beside
from agentflow_bench.batch.cost import ask_by_endpoint
from agentflow_bench.batch.experiment import experiment
from agentflow_bench.batch.rules import Rules
from agentflow_bench.batch.served import Served
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.peers import drive, plain_environment
from agentflow_bench.peers.prompto import Prompto

__all__ = ["MEMORY"]

_MANY = 500
_FEWER = 200  # of prompto: it sends some 14 a second
_LIMIT = Bar("<=", 30)


def _endpoint() -> list[Figure]:
    with Served(Rules(seconds=2.5)) as server:
        found = ask_by_endpoint(server.url, _MANY, _MANY)
        most = server.record().most
    return [
        Figure("Endpoint: peak above the start", found["grown_mb"], "MB", _LIMIT),
        Figure("Endpoint: most in flight", most, bar=Bar("==", _MANY)),
    ]


def _batch() -> list[Figure]:
    """Compare the peaks of the same command with 500 prompts and with one."""
    peaks, most = [], 0
    for count in (1, _MANY):
        with (
            Served(Rules(seconds=0.0 if count == 1 else 3.0)) as server,
            experiment(server.url, count) as made,
        ):
            peaks.append(made.run("--concurrency", _MANY).took.peak_mb)
            most = server.record().most
    return [
        Figure("agentflow batch: peak above that with one prompt", peaks[1] - peaks[0], "MB", _LIMIT),
        Figure("agentflow batch: peak", peaks[1], "MB"),
        Figure("agentflow batch: most in flight", most, bar=Bar(">=", 0.95 * _MANY)),
    ]


def _prompto() -> list[Figure]:
    peaks, most = [], 0
    for count in (1, _FEWER):
        with Served(Rules(seconds=1.0 if count == 1 else 30.0)) as server, TemporaryDirectory() as folder:
            prompto = Prompto(Path(folder), server.url)
            peaks.append(prompto.run(prompto.write(count), 60_000).peak_mb)
            most = server.record().most
    grown = peaks[1] - peaks[0]
    return [Figure("prompto: peak above that with one prompt", grown, "MB", note=f"{most} in flight")]


def _httpx() -> list[Figure]:
    with Served(Rules(seconds=8.0)) as server:
        words = ("httpx", server.url, _MANY, _MANY)
        found = drive("httpx", "http_driver", words, plain_environment(server.url))
        note = f"{server.record().most} in flight"
    return [Figure("httpx: peak above the start", found["grown_mb"], "MB", note=note)]


def _litellm() -> list[Figure]:
    with Served(Rules(seconds=8.0)) as server:
        words = (server.url, _MANY, _MANY, 0, 0)
        found = drive("litellm", "litellm_driver", words, plain_environment(server.url))
        note = f"{server.record().most} in flight"
    return [Figure("litellm: peak above the start", found["grown_mb"], "MB", note=note)]


def _memory(setting: Setting) -> Sequence[Figure]:
    figures = _endpoint() + _batch()
    for name, rows in (("httpx", _httpx), ("litellm", _litellm), ("prompto", _prompto)):
        figures += beside(setting, name, rows)
    return figures


MEMORY = Measure("memory", "Memory with 500 requests in flight.", _memory)
