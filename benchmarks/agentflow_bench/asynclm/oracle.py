"""What each mode takes, by the rules alone: no session, no clock, no model.

One decoder writes `tokens / tps` seconds a block and takes nothing in inside a block;
any number of calls run at once. The simulated model and the session must come to the
same times by their own ways.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from agentflow_bench.asynclm.task import Pace, Task, TaskCall, critical_paths

__all__ = ["RULES", "in_flight", "native", "native_refs", "sync_parallel", "sync_sequential"]

_TINY = 1e-9  # seconds that sums of floats may be off


def sync_sequential(task: Task, pace: Pace) -> float:
    """Write a call, run it, put its result in; one after another."""
    each = sum(call.tokens / pace.tps + call.exec_s + pace.turn_s + pace.inject_s for call in task.calls)
    return each + task.response_tokens / pace.tps


def sync_parallel(task: Task, pace: Pace) -> float:
    """Write all calls that are ready, run them when the message is complete, wait for all."""
    now = 0.0
    known: set[str] = set()
    while len(known) < len(task.calls):
        ready = _ready(task, known, known)
        now += sum(call.tokens for call in ready) / pace.tps + max(call.exec_s for call in ready)
        now += pace.turn_s + pace.inject_s * len(ready)
        known |= {call.id for call in ready}
    return now + task.response_tokens / pace.tps


def native(task: Task, pace: Pace) -> float:
    """Write all that is ready; deliver when nothing more is due within the cost of a request."""
    paths = critical_paths(task, pace.tps)
    now = 0.0
    ends: dict[str, float] = {}
    known: set[str] = set()
    while len(known) < len(task.calls):
        for call in sorted(_ready(task, ends.keys(), known), key=lambda call: -paths[call.id]):
            now += call.tokens / pace.tps
            ends[call.id] = now + call.exec_s
        due = sorted(end for name, end in ends.items() if name not in known)
        now = max(now, due[0])
        for end in due:
            if end > now + pace.turn_s + _TINY:
                break
            now = max(now, end)
        come = {name for name, end in ends.items() if name not in known and end <= now + _TINY}
        known |= come
        now += pace.turn_s + pace.inject_s * len(come)
    return now + task.response_tokens / pace.tps


def native_refs(task: Task, pace: Pace) -> float:
    """Write all calls in one message; each starts when it is written and what it needs is done."""
    paths = critical_paths(task, pace.tps)
    now = 0.0
    ends: dict[str, float] = {}
    while len(ends) < len(task.calls):
        call = max(_ready(task, ends.keys(), ends.keys()), key=lambda call: paths[call.id])
        now += call.tokens / pace.tps
        ends[call.id] = max([now, *(ends[dep] for dep in call.deps)]) + call.exec_s
    now = max(now, *ends.values())
    return now + pace.turn_s + pace.inject_s * len(ends) + task.response_tokens / pace.tps


def in_flight(task: Task, pace: Pace, arrivals: Mapping[str, float] | None = None) -> float:
    """Put in what has come, else write the ready call of the longest path, else wait.

    `arrivals` are the times at which interrupts of a user come, by the names that calls
    need them by.
    """
    paths = critical_paths(task, pace.tps)
    now = 0.0
    ends = dict(arrivals or {})
    whole = len(ends) + len(task.calls)
    known: set[str] = set()
    while True:
        come = {name for name, end in ends.items() if name not in known and end <= now + _TINY}
        if come:
            known |= come
            now += pace.inject_s * len(come)
        elif len(known) == whole:
            return now + task.response_tokens / pace.tps
        elif ready := _ready(task, ends.keys(), known):
            call = max(ready, key=lambda call: paths[call.id])
            now += call.tokens / pace.tps
            ends[call.id] = now + call.exec_s
        else:
            now = min(end for name, end in ends.items() if name not in known)


RULES: Mapping[str, Callable[[Task, Pace], float]] = {
    "sync_sequential": sync_sequential,
    "sync_parallel": sync_parallel,
    "native": native,
    "native_refs": native_refs,
    "async_critical": in_flight,
}
"""Seconds of a task by the rules, by the names of the task file's `expected`."""


def _ready(task: Task, written: Collection[str], known: Collection[str]) -> list[TaskCall]:
    return [c for c in task.calls if c.id not in written and all(dep in known for dep in c.deps)]
