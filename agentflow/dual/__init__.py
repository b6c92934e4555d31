"""A fast loop that never waits, beside slow processes that think; policies that models write.

```python
import asyncio

from agentflow import Context, Runtime
from agentflow.dual import Brief, DualProcess, Now, Slow, every
from agentflow.runtime.loop import new_loop, run_in

class Counter:
    \"""A world that counts what is done in it, to twenty.\"""

    def __init__(self) -> None:
        self.actions: list[str] = []

    def reset(self, seed: int | None = None) -> int:
        self.actions.clear()
        return 0

    def observe(self) -> int:
        return len(self.actions)

    def valid_actions(self) -> list[str]:
        return ["wait", "work"]

    def act(self, action: str) -> int:
        self.actions.append(action)
        return self.observe()

    @property
    def done(self) -> bool:
        return len(self.actions) == 20

    def snapshot(self) -> list[str]:
        return list(self.actions)

    def restore(self, snapshot: list[str]) -> None:
        self.actions = list(snapshot)

async def think(context: Context[object], brief: Brief[object, object]) -> str:
    await asyncio.sleep(1.1)                     # a model is asked here
    return "work"

def fast(now: Now[int]) -> str:
    return str(now.slots.get("guideline", "wait"))

world = Counter()
sage = Slow("sage", think, [every(50)], into="guideline")
game = DualProcess(world, fast=fast, default="wait", slow=[sage])

async def main() -> None:
    async with Runtime() as runtime:
        report = (await runtime.run(game)).output
    assert (report.ticks, report.missed, report.slow["sage"].applied) == (20, 0, 1)

run_in(lambda: new_loop("virtual"), main())
assert world.actions == ["wait"] * 5 + ["work"] * 15      # a tick is a quarter of a second
```
"""

from __future__ import annotations

from agentflow.dual.annotate import Annotator
from agentflow.dual.brief import Brief, Now, Output, Partial, Scene, Update
from agentflow.dual.guard import Chosen, GuardedPolicy, PolicyVersion
from agentflow.dual.monty import MontySandbox
from agentflow.dual.process import DualProcess
from agentflow.dual.report import DualReport, SlowReport
from agentflow.dual.rules import Rule, RulePolicy
from agentflow.dual.sandbox import LoadedPolicy, PolicyFault, PolicySandbox
from agentflow.dual.slots import Entry, Slot, Slots
from agentflow.dual.slow import Slow, Trigger, every, on, when
from agentflow.dual.stale import StalePolicy
from agentflow.dual.trusted import TrustedPython
from agentflow.dual.watch import Watch, WatchReport

__all__ = [
    "Annotator",
    "Brief",
    "Chosen",
    "DualProcess",
    "DualReport",
    "Entry",
    "GuardedPolicy",
    "LoadedPolicy",
    "MontySandbox",
    "Now",
    "Output",
    "Partial",
    "PolicyFault",
    "PolicySandbox",
    "PolicyVersion",
    "Rule",
    "RulePolicy",
    "Scene",
    "Slot",
    "Slots",
    "Slow",
    "SlowReport",
    "StalePolicy",
    "Trigger",
    "TrustedPython",
    "Update",
    "Watch",
    "WatchReport",
    "every",
    "on",
    "when",
]
