"""Processor time of one request, against raw httpx with the same number in flight."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from agentflow_bench.batch.beside import beside
from agentflow_bench.batch.experiment import experiment
from agentflow_bench.batch.rules import Rules
from agentflow_bench.batch.served import Served
from agentflow_bench.measure import Bar, Figure, Measure, Setting, Skipped
from agentflow_bench.peers import Absent, drive, figures_of, plain_environment, versions
from agentflow_bench.peers.prompto import Prompto

__all__ = ["COST", "ask_by_endpoint"]

_AT_ONCE = 32


def ask_by_endpoint(url: str, count: int, at_once: int) -> dict[str, float]:
    """Ask `count` prompts by an Endpoint in a process of its own and return its figures."""
    command = [sys.executable, "-m", "agentflow_bench.batch.asker", url, str(count), str(at_once)]
    return figures_of(command, plain_environment(url))


def _checked(right: float, count: int, cpu: float) -> float:
    """Return the milliseconds of one request; what went wrong would be too cheap."""
    if right != count:
        raise RuntimeError(f"{right:.0f} of {count} prompts right")
    return cpu * 1000 / count


def _endpoint(url: str, count: int) -> float:
    found = ask_by_endpoint(url, count, _AT_ONCE)
    return _checked(found["right"], count, found["cpu_s"])


def _batch(url: str, count: int) -> float:
    with experiment(url, count) as made:
        took = made.run("--concurrency", _AT_ONCE).took
        return _checked(made.right(), count, took.cpu_s)


def _driven(peer: str, driver: str, *words: object) -> Callable[[str, int], float]:
    def ask(url: str, count: int) -> float:
        given = [url if word is str else count if word is int else word for word in words]
        found = drive(peer, driver, given, plain_environment(url))
        return _checked(found["right"], count, found["cpu_s"])

    return ask


_HTTPX = _driven("httpx", "http_driver", "httpx", str, int, _AT_ONCE)
_AIOHTTP = _driven("httpx", "http_driver", "aiohttp", str, int, _AT_ONCE)
_LITELLM = _driven("litellm", "litellm_driver", str, int, _AT_ONCE, 0, 0)
_CURATOR = _driven("curator", "curator_driver", str, int, _AT_ONCE, 0)


def _version(name: str) -> str:
    (found,) = (text for package, text in versions().items() if package.endswith(name))
    return f"{name} {found}"


def _prompto(url: str, count: int) -> float:
    with TemporaryDirectory() as folder:
        prompto = Prompto(Path(folder), url)
        took = prompto.run(prompto.write(count), 60_000)
        return _checked(prompto.right(), count, took.cpu_s - took.import_s)


def _cost(setting: Setting) -> Sequence[Figure]:
    count, rounds = (1000, 1) if setting.quick else (2000, 3)
    sides = {"httpx": _HTTPX, "Endpoint": _endpoint, "agentflow batch": _batch, "aiohttp": _AIOHTTP}
    took: dict[str, list[float]] = {name: [] for name in sides}
    figures: list[Figure] = []
    with Served(Rules(keeps=False)) as server:
        for _ in range(rounds):
            for name, side in sides.items():
                try:
                    took[name].append(side(server.url, count))
                except Absent as why:
                    raise Skipped(f"httpx: {why}") from None
        start = _batch(server.url, 1)
        took["agentflow batch"] = [(each * count - start) / (count - 1) for each in took["agentflow batch"]]
        for name in ("Endpoint", "agentflow batch", "aiohttp"):
            ratio = median(a / b for a, b in zip(took[name], took["httpx"], strict=True))
            bar = None if name == "aiohttp" else Bar("<=", 0.5)
            note = "journal and output included, above a run with one prompt" if " " in name else ""
            figures.append(Figure(f"{name} / httpx", ratio, "x", bar, note))
        figures += [Figure(name, median(each), "ms CPU") for name, each in took.items() if name != "httpx"]
        figures.append(Figure("httpx", median(took["httpx"]), "ms CPU", note=_version("httpx")))
        base = median(took["httpx"])
        figures.append(Figure("agentflow batch with one prompt: the start of the command", start, "ms CPU"))
        for name, ask, fewer in (
            ("litellm", _LITELLM, 1000),
            ("curator", _CURATOR, 2000),
            ("prompto", _prompto, 300),
        ):

            def rows(
                name: str = name, ask: Callable[[str, int], float] = ask, n: int = fewer
            ) -> list[Figure]:
                cost, version = ask(server.url, n), _version(name)
                return [
                    Figure(f"{name} / httpx", cost / base, "x", note=version),
                    Figure(name, cost, "ms CPU"),
                ]

            figures += beside(setting, name, rows)
    return figures


COST = Measure(
    "cost", "CPU of a request, 32 in flight: Endpoint, the whole command and peers, against raw httpx.", _cost
)
