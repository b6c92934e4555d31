"""What slow work beside a loop costs it: ticks kept, frames seen, labels made."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence

from agentflow.dual import Annotator, Brief, DualProcess, Now, Slow, Watch, every
from agentflow.dual.watch import Decision
from agentflow.runtime import Context, Runtime
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["ANNOTATED", "TICKS", "WATCHED"]


class _Track:
    """A world of numbers that only counts."""

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks
        self._done = 0

    def reset(self, seed: int | None = None) -> int:
        self._done = 0
        return 0

    def observe(self) -> int:
        return self._done

    def valid_actions(self) -> Sequence[int]:
        return (0, 1)

    def act(self, action: int) -> int:
        self._done += 1
        return self._done

    @property
    def done(self) -> bool:
        return self._done >= self._ticks

    def snapshot(self) -> int:
        return self._done

    def restore(self, snapshot: int) -> None:
        self._done = snapshot


async def _ticks(setting: Setting) -> Sequence[Figure]:
    ticks = 20 if setting.quick else 120
    chance = random.Random(3)

    async def think(context: Context[object], brief: Brief[object, object]) -> str:
        await asyncio.sleep(min(40.0, chance.paretovariate(1.1)))  # 1 to 40 s, heavy-tailed
        return "on"

    def fast(now: Now[int]) -> int:
        return int("guideline" in now.slots)

    slow = [Slow(f"thinker_{number}", think, [every(4)], into="guideline") for number in range(8)]
    dual = DualProcess(_Track(ticks), fast=fast, default=0, slow=slow, tick=0.25, ticks=ticks)
    async with Runtime() as runtime:
        report = (await runtime.run(dual)).output
    return [
        Figure("ticks of 250 ms on the wall clock", report.ticks, note="8 slow processes of 1 to 40 s"),
        Figure("missed", report.missed, bar=Bar("==", 0)),
        Figure("outputs applied", sum(each.applied for each in report.slow.values())),
        Figure("a decision, p99", report.decision_ms["p99"], "ms", Bar("<=", 10)),
    ]


async def _watched(setting: Setting) -> Sequence[Figure]:
    frames, period = (100 if setting.quick else 600), 0.02
    late: list[float] = []
    reacted: list[float] = []

    async def camera() -> AsyncIterator[tuple[int, float]]:
        began = time.perf_counter()
        for number in range(frames):
            await asyncio.sleep(max(0.0, began + number * period - time.perf_counter()))
            late.append(time.perf_counter() - began - number * period)
            yield number, time.perf_counter()

    def decide(frame: tuple[int, float]) -> Decision:
        return "interrupt" if frame[0] % 25 == 0 else None

    async def react(context: Context[object], frame: tuple[int, float]) -> int:
        reacted.append(time.perf_counter() - frame[1])
        for _ in range(200):  # a reply that streams for two seconds, and is interrupted before
            await asyncio.sleep(0.01)
        return frame[0]

    async with Runtime() as runtime:
        report = (await runtime.run(Watch(camera(), decide=decide, react=react))).output
    return [
        Figure("frames, one each 20 ms", frames),
        Figure("frames missed while replies stream", frames - report.seen, bar=Bar("==", 0)),
        Figure("a frame too late, p99", 1000 * _p99(late), "ms", Bar("<=", period * 1000)),
        Figure("from a trigger to its reaction, p99", 1000 * _p99(reacted), "ms", Bar("<=", 20)),
        Figure("reactions that a later trigger ended", report.interrupted),
    ]


async def _annotated(setting: Setting) -> Sequence[Figure]:
    seconds, pairs = 0.2, 3 if setting.quick else 40

    async def label(item: int) -> bool:
        await asyncio.sleep(0.05)
        return item % 2 == 0

    async def loop(side: Annotator[int, bool] | None) -> float:
        """Return the rounds of a loop by the processor seconds that they took."""
        ends, count, before = time.perf_counter() + seconds, 0, time.process_time()
        while time.perf_counter() < ends:
            if side is not None:
                side.offer(count)
            sum(range(20_000))  # what the loop does itself: a quarter of a millisecond, as a step of a game
            count += 1
            if count % 10 == 0:
                await asyncio.sleep(0)
        return count / (time.process_time() - before)

    shares: list[float] = []
    made = dropped = 0
    for _ in range(pairs):  # in turns, since the machine's speed drifts
        alone = await loop(None)
        async with Annotator(label, rate=0.02, capacity=50, workers=8) as side:
            beside = await loop(side)
            made += len(side.labels)
        dropped += side.dropped
        shares.append(beside / alone)
    return [
        Figure(
            "rate of the loop beside labels / alone, by CPU",
            sorted(shares)[len(shares) // 2],
            "x",
            Bar(">=", 0.98),
        ),
        Figure("labels made meanwhile", made),
        Figure("items that gave way", dropped, note="at most 50 wait"),
    ]


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]


TICKS = Measure(
    "ticks", "A fast loop beside eight slow processes with heavy tails, on the wall clock.", _ticks
)
WATCHED = Measure("watched", "Perception that goes on while replies stream and are interrupted.", _watched)
ANNOTATED = Measure("annotated", "A busy loop with a sample of its items labelled beside it.", _annotated)
