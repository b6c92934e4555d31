"""How much of a rate is used that was asked for, and of one that only the answers tell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from agentflow_bench.batch.beside import beside
from agentflow_bench.batch.experiment import experiment
from agentflow_bench.batch.rules import Rules
from agentflow_bench.batch.served import Record, Served
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.peers import drive, plain_environment
from agentflow_bench.peers.prompto import Prompto

__all__ = ["LEARNED", "RATES"]

_RATES = (600, 3000, 12_000)
_RULES = Rules(seconds=0.2, jitter=0.5)
_TOLD = Rules(seconds=0.2, jitter=0.5, limit=3000, window=10.0, tells=True)
_WARM_UP_S = 2.0


def _asked(rate: int, seconds: float) -> list[Figure]:
    count = round(rate * seconds / 60)
    with Served(_RULES) as server, experiment(server.url, count) as made:
        ran = made.run("-mq", rate)
        record, right = server.record(), made.right()
    used, late = record.rate() / rate, _late(record)[0] / rate
    told = ran.number("rate_used")
    note = f"{count:,} prompts in {seconds:.0f} s"
    return [
        Figure(f"{rate:,} a minute: used after the first 2 s", 100 * late, "%", Bar(">=", 98), note),
        Figure(f"{rate:,} a minute: used from the first request to the last", 100 * used, "%"),
        Figure(
            f"{rate:,} a minute: `rate_used` of the summary, away", 100 * abs(told - late), "%", Bar("<=", 1)
        ),
        Figure(f"{rate:,} a minute: prompts right", right, bar=Bar("==", count)),
    ]


def _prompto(rate: int) -> list[Figure]:
    with Served(_RULES) as server, TemporaryDirectory() as folder:
        prompto = Prompto(Path(folder), server.url)
        prompto.run(prompto.write(100), rate)
        return [Figure(f"prompto, {rate:,} a minute: used", 100 * server.record().rate() / rate, "%")]


def _curator(rate: int) -> list[Figure]:
    count = round(rate / 3)
    with Served(_RULES) as server:
        words = (server.url, count, 500, rate)
        found = drive("curator", "curator_driver", words, plain_environment(server.url))
        used = 100 * server.record().rate() / rate
    return [
        Figure(f"curator, {rate:,} a minute: used", used, "%", note=f"{found['right']:.0f} of {count} right")
    ]


def _litellm(rate: int) -> list[Figure]:
    """Ask for half as much again as a minute allows: the Router counts by clock minutes, and raises."""
    count = rate * 3 // 2
    with Served(_RULES) as server:
        words = (server.url, count, 200, 2, rate)
        found = drive("litellm", "litellm_driver", words, plain_environment(server.url), timeout=150)
    text = f"litellm, rpm {rate:,}: prompts that it refused to ask, of {count:,}"
    return [Figure(text, found["failed"], note=f"in {found['wall_s']:.0f} s")]


def _rates(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    for rate in _RATES[1:2] if setting.quick else _RATES:
        figures += _asked(rate, 6.0 if setting.quick else 20.0)
    for rate in _RATES:
        figures += beside(setting, "prompto", partial(_prompto, rate))
        figures += beside(setting, "curator", partial(_curator, rate))
    return figures + beside(setting, "litellm", lambda: _litellm(_RATES[0]))


def _late(record: Record) -> tuple[float, int]:
    """Return the requests a minute that were taken after the warm-up, and how many were refused at all."""
    begins = record.requests[0].at + _WARM_UP_S
    taken = [seen.at for seen in record.requests if seen.at > begins and seen.status != 429]
    return (len(taken) - 1) * 60 / (taken[-1] - taken[0]), record.refused


def _learned(setting: Setting) -> Sequence[Figure]:
    count = 500 if setting.quick else 1500
    assert _TOLD.limit is not None
    with Served(_TOLD) as server, experiment(server.url, count) as made:
        made.run()
        record, right = server.record(), made.right()
    rate, refused = _late(record)
    whole = 100 * record.rate() / _TOLD.limit
    figures = [
        Figure(
            "used after the first 2 s", 100 * rate / _TOLD.limit, "%", Bar(">=", 98), f"{whole:.1f} % in all"
        ),
        Figure("refused", refused, bar=Bar("<=", 3)),
        Figure("prompts right", right, bar=Bar("==", count)),
    ]
    return figures + beside(setting, "litellm", lambda: _unlimited(count))


def _unlimited(count: int) -> list[Figure]:
    with Served(_TOLD) as server:
        words = (server.url, count, 200, 5, 0)
        found = drive("litellm", "litellm_driver", words, plain_environment(server.url))
        record = server.record()
    return [
        Figure("litellm: refused", record.refused),
        Figure("litellm: prompts right", found["right"], note=f"of {count}, 5 retries"),
    ]


RATES = Measure("rates", "A rate that is asked for, and how much of it the server sees.", _rates)
LEARNED = Measure(
    "learned", "A limit of 3,000 a minute, 500 at once, that only the answers' headers tell.", _learned
)
