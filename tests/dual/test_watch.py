"""Watching without a gap, and labelling beside a loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import TypeVar

import pytest

from agentflow import Context, Runtime
from agentflow.dual.annotate import Annotator
from agentflow.dual.watch import Decision, Watch, WatchReport
from agentflow.errors import UserError
from agentflow.runtime.loop import new_loop, run_in
from agentflow.testing import assert_nothing_left

T = TypeVar("T")


def virtual(work: Coroutine[object, object, T]) -> T:
    return run_in(lambda: new_loop("virtual"), work)


class Camera:
    """Shows a frame every 40 ms, and knows how late each was fetched."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.late = 0.0

    async def __aiter__(self) -> AsyncIterator[int]:
        began = asyncio.get_running_loop().time()
        for number in range(self.frames):
            due = began + 0.04 * number
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            self.late = max(self.late, asyncio.get_running_loop().time() - due)
            yield number


def watch(decide, seconds: float = 1.0, frames: int = 100) -> tuple[WatchReport[int], Camera]:
    camera = Camera(frames)

    async def react(context: Context[object], frame: int) -> int:
        await asyncio.sleep(seconds)
        if frame == 13:
            raise ValueError("unlucky")
        return frame

    async def work() -> WatchReport[int]:
        async with Runtime() as runtime:
            return (await runtime.run(Watch(camera, decide=decide, react=react))).output

    return virtual(work()), camera


def test_no_frame_is_missed_while_a_reaction_takes_its_time() -> None:
    def decide(frame: int) -> Decision:
        return "react" if frame % 10 == 0 else None

    report, camera = watch(decide)
    assert (report.seen, camera.late) == (100, 0.0)
    assert report.outcomes == [0, 20, 40, 70, 90]  # the latest of those that came meanwhile
    assert report.merged == 5
    assert max(report.delays) <= 1.0


def test_an_interrupting_trigger_ends_the_reaction_at_once() -> None:
    def decide(frame: int) -> Decision:
        return {0: "react", 10: "interrupt", 90: "interrupt"}.get(frame)  # type: ignore[return-value]

    report, _ = watch(decide)
    assert report.outcomes == [10, 90]
    assert (report.reactions, report.interrupted) == (3, 1)
    assert max(report.delays) == 0.0


def test_a_reaction_that_fails_is_counted() -> None:
    report, _ = watch(lambda frame: "react" if frame in (13, 60) else None)
    assert (report.failed, report.outcomes, report.faults) == (1, [60], ["ValueError: unlucky"])


async def test_a_decision_that_raises_ends_it_all() -> None:
    def decide(frame: int) -> Decision:
        if frame == 5:
            raise KeyError("frame")
        return "react"

    async def react(context: Context[object], frame: int) -> None:
        await asyncio.sleep(100)

    async with assert_nothing_left():
        async with Runtime() as runtime:
            with pytest.raises(KeyError):
                await runtime.run(Watch(Camera(10), decide=decide, react=react))


def test_a_sample_is_labelled_beside_the_loop() -> None:
    async def label(item: int) -> bool:
        await asyncio.sleep(1.0)
        return item % 2 == 0

    async def work() -> tuple[Annotator[int, bool], float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with Annotator(label, rate=0.1, workers=4, capacity=10) as side:
            for item in range(1000):
                side.offer(item)
                await asyncio.sleep(0.01)
            took = loop.time() - began
        return side, took

    side, took = virtual(work())
    assert took == pytest.approx(10.0)  # as long as the loop without it
    assert side.offered == 1000
    assert 60 <= side.sampled <= 140
    assert len(side.labels) + side.dropped == side.sampled
    assert side.dropped > 0  # four a second are labelled, ten are sampled
    assert all(label == (item % 2 == 0) for item, label in side.take())
    assert side.take() == []


def test_what_is_oldest_gives_way() -> None:
    async def label(item: int) -> int:
        await asyncio.sleep(1.0)
        return item

    async def work() -> Annotator[int, int]:
        async with Annotator(label, rate=1.0, workers=1, capacity=2) as side:
            for item in range(10):
                side.offer(item)
        return side

    side = virtual(work())
    assert [item for item, _ in side.labels] == [0, 8, 9]
    assert side.dropped == 7


async def test_labels_that_fail_are_counted_and_an_error_drops_the_rest() -> None:
    async def label(item: int) -> int:
        if item < 8:
            raise OSError("no label")
        await asyncio.sleep(100)
        return item

    async with assert_nothing_left():
        side = Annotator(label, rate=1.0, workers=1)

        async def work() -> None:
            async with side:
                for item in range(10):
                    side.offer(item)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await work()
    assert side.failed == 8
    assert len(side.faults) == 5
    for wrong in ({"rate": 0.0}, {"rate": 1.1}, {"capacity": 0}, {"workers": 0}):
        with pytest.raises(UserError, match="an annotator"):
            Annotator(label, **wrong)  # type: ignore[arg-type]
