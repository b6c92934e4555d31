"""Game: one run of a `DualProcess`, tick by tick."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar, cast

from agentflow.dual.brief import Brief, Now, Output, Scene
from agentflow.dual.course import Course
from agentflow.dual.report import DualReport
from agentflow.dual.slots import Slots
from agentflow.dual.slow import Slow
from agentflow.environment import InvalidAction
from agentflow.errors import AgentflowError, UserError
from agentflow_protocols.trace import Event, TextDelta

if TYPE_CHECKING:
    from agentflow.dual.process import DualProcess
    from agentflow.runtime import Context
    from agentflow_protocols.chat import Json

__all__ = ["Game"]

Seen = TypeVar("Seen")
Action = TypeVar("Action")
Snapshot = TypeVar("Snapshot")
P = ParamSpec("P")
Told = TypeVar("Told")

_FAULTS = 5  # texts of faults that a report keeps


class Game(Generic[Seen, Action, Snapshot]):
    """One game. Use it once."""

    def __init__(self, dual: DualProcess[Seen, Action, Snapshot], context: Context[object]) -> None:
        self.context = context
        self.over = False
        self._dual = dual
        self._world = dual.environment
        self._slots = Slots(dual.slots)
        self._courses = {slow.name: Course(slow, self) for slow in dual.slow}
        self._arrivals: list[tuple[Course, Output]] = []
        self._scenes: deque[Scene[Seen, Action]] = deque(maxlen=max([1, *(s.window for s in dual.slow)]))
        self._now: Now[Seen] | None = None
        self._report = DualReport(slow={name: each.report for name, each in self._courses.items()})
        self._by = dict.fromkeys(("fast", "policy", "default"), 0)
        self._took: list[float] = []
        self._timed = context.clock.kind != "virtual"  # there deciding takes no time
        self.group = asyncio.TaskGroup()

    async def play(self, seed: int | None) -> DualReport:
        """Play to the end and return what came of it."""
        dual, loop = self._dual, asyncio.get_running_loop()
        gate = self.context.state.gate
        self._world.reset(seed)
        async with self.group:
            listener = self._listen()
            try:
                began = loop.time()
                for tick in range(dual.ticks):
                    await asyncio.sleep(max(0.0, began + tick * dual.tick - loop.time()))
                    if gate.closed:
                        paused = loop.time()
                        await gate.passed()
                        began += loop.time() - paused
                    await self._tick(tick)
                    self._report.missed += loop.time() > began + (tick + 2) * dual.tick
                    if self._world.done:
                        break
            finally:
                self.over = True
                for course in self._courses.values():
                    course.end()
                if listener is not None:
                    listener.cancel()
        return self._ended()

    async def _tick(self, tick: int) -> None:
        """Do one tick: what has arrived, what is seen, who shall think, what is done."""
        seen = self._world.observe()
        self._apply(tick, seen)
        messages = [interrupt.text for interrupt in self.context.inbox.take()]
        partial = {name: each.partial for name, each in self._courses.items() if each.partial is not None}
        now = Now(tick, seen, self._slots.values_at(tick), partial, messages)
        self._now = now
        self._start_thinking(now)
        began = time.perf_counter()
        action, by = await self._decided(now)
        self._took.append(time.perf_counter() - began)
        try:
            self._world.act(action)
        except InvalidAction as error:
            self._report.refused += 1
            self._fault(f"tick {tick}: {error}")
            action, by = self._dual.default, "default"
            try:
                self._world.act(action)
            except InvalidAction as worse:
                raise UserError(
                    f"{self._dual.name}: the default action is refused at tick {tick}: {worse}"
                ) from None
        self._by[by] += 1
        self._report.ticks += 1
        self._scenes.append(Scene(tick, seen, action, by))
        thinking = [name for name, each in self._courses.items() if each.thinking]
        told: dict[str, Json] = {"tick": tick, "of": self._dual.ticks, "by": by, "thinking": thinking}
        if self._dual.draw is not None:
            told["picture"] = str(self._asked("draw", self._dual.draw, self._world) or "")
        self.context.emit("tick", told)

    # What slow processes have written.

    def arrive(self, course: Course, output: Output) -> None:
        """Take an output in, to be looked at when the next tick begins."""
        self._arrivals.append((course, output))

    def _apply(self, tick: int, seen: Seen) -> None:
        """Judge what has arrived, and apply what holds: each update as a whole, in the order of arrival."""
        arrivals, self._arrivals = self._arrivals, []
        for course, output in arrivals:
            try:
                values = self._read(output)
            except UserError as error:
                course.report.invalid += 1
                course.fault(str(error))
                continue
            verdict = self._verdict(course, output, tick, seen)
            self.context.emit(
                "slow", {"name": course.slow.name, "based_on": output.based_on, "verdict": verdict}
            )
            if verdict == "drop":
                course.report.dropped += 1
            elif verdict == "rebase":
                course.report.rebased += 1
                course.trigger("rebase", output)
            else:
                course.report.applied += 1
                age = tick - output.based_on
                course.report.ages[age] = course.report.ages.get(age, 0) + 1
                for name, value in values.items():
                    self._slots[name].put(value, based_on=output.based_on, tick=tick, source=output.source)
                if output.update.policy is not None:
                    self.group.create_task(self._propose(course, output))

    def _read(self, output: Output) -> dict[str, object]:
        """Return an update's values in their slots' types. Raises `UserError`."""
        values: dict[str, object] = {}
        for name, value in output.update.values.items():
            if name not in self._slots:
                near = get_close_matches(name, self._slots, 1)
                raise UserError(f"no slot {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
            try:
                values[name] = self._slots[name].read(value)
            except UserError as error:
                raise UserError(f"slot {name}: {error}") from None
        return values

    def _verdict(self, course: Course, output: Output, tick: int, seen: Seen) -> str:
        for name in output.update.values:
            entry = self._slots[name].entry
            if entry is not None and entry.based_on > output.based_on:
                return "drop"  # older never takes the place of newer
        try:
            return (course.slow.stale or self._dual.stale).verdict(output, tick, seen)
        except Exception as error:  # `keys` or `holds` of a user's own
            course.fault(f"{type(error).__name__}: {error}")
            return "drop"

    async def _propose(self, course: Course, output: Output) -> None:
        policy = self._dual.policy
        try:
            if policy is None:
                raise UserError("the game has no policy= to take one")
            await policy.propose(output.update.policy, tick=output.based_on)
        except Exception as error:  # the sandbox's, too: no policy ends a game
            course.report.invalid += 1
            course.fault(
                str(error) if isinstance(error, AgentflowError) else f"{type(error).__name__}: {error}"
            )

    # Who shall think.

    def _start_thinking(self, now: Now[Seen]) -> None:
        events = ["message"] if now.messages else []
        if self._dual.events is not None:
            events += self._asked("events", self._dual.events, now) or []
        for course in self._courses.values():
            course.messages += now.messages
            for trigger in course.slow.triggers:
                if self._asked(trigger.what, trigger.due, cast("Now[object]", now), events):
                    course.trigger(trigger.what)
                    break

    def brief(
        self, slow: Slow, why: str, messages: list[str], rebase: Output | None
    ) -> Brief[object, object]:
        """Return what a slow process is told of the present."""
        assert self._now is not None
        scenes = list(self._scenes)[-slow.window :] if slow.window else []
        history = cast("Sequence[Scene[object, object]]", scenes)
        return Brief(self._now.tick, self._now.seen, why, history, dict(self._now.slots), messages, rebase)

    def _listen(self) -> asyncio.Task[None] | None:
        """Follow what agents write, so that it can be read while they write it."""
        if not any(hasattr(slow.think, "__run__") for slow in self._dual.slow):
            return None
        feed = self.context.state.feed
        stream = feed.attach(feed.seq)

        async def follow() -> None:
            try:
                async for event in stream:
                    self._hear(event)
            finally:
                feed.leave(stream)

        return self.group.create_task(follow(), name=f"{self.context.run_id}/partial")

    def _hear(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            for course in self._courses.values():
                if course.run and event.run == course.run and course.partial is not None:
                    course.hear(event.text, course.partial.based_on)

    # What is done.

    async def _decided(self, now: Now[Seen]) -> tuple[Action, str]:
        """Return the action of a tick, and who chose it."""
        by = "fast"
        dual = self._dual
        if dual.policy is not None and dual.state is not None:
            state = self._asked("state", dual.state, now.seen)
            if state is not None:  # else no policy is asked in this tick
                chosen = await dual.policy.act(state, now.tick)
                if chosen.fault is not None:
                    self._report.strikes += 1
                    self._fault(f"tick {now.tick}: {chosen.fault}")
                if chosen.action is not None:
                    now, by = replace(now, wish=chosen.action), "policy"
        began = time.perf_counter()
        try:
            action = dual.fast(now)
        except Exception as error:
            self._report.raised += 1
            self._fault(f"tick {now.tick}: {type(error).__name__}: {error}")
            return dual.default, "default"
        if self._timed and time.perf_counter() - began > dual.deadline:
            self._report.late += 1
            return dual.default, "default"
        return (dual.default, "default") if action is None else (action, by)

    def _asked(self, name: str, function: Callable[P, Told], *args: P.args, **named: P.kwargs) -> Told | None:
        """Return what a function of the user's says: None, and a fault, when it raises."""
        try:
            return function(*args, **named)
        except Exception as error:
            tick = self._now.tick if self._now is not None else 0
            self._fault(f"tick {tick}: {name}: {type(error).__name__}: {error}")
            return None

    def _fault(self, text: str) -> None:
        if len(self._report.faults) < _FAULTS:
            self._report.faults.append(" ".join(text.split())[:200])

    def _ended(self) -> DualReport:
        report = self._report
        report.done = self._world.done
        report.by = dict(self._by)
        if self._dual.state is not None:
            report.seen = self._asked("state", self._dual.state, self._world.observe())
        took = sorted(1000 * seconds for seconds in self._took)
        if took:
            last = len(took) - 1
            report.decision_ms = {
                "p50": round(took[last // 2], 4),
                "p99": round(took[int(0.99 * last)], 4),
                "most": round(took[-1], 4),
            }
        return report
