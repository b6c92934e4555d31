"""DualProcess: a fast loop that never waits, beside slow processes that think."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from agentflow.dual.brief import Now
from agentflow.dual.report import DualReport
from agentflow.dual.slots import Slots
from agentflow.dual.slow import POLICY, Slow
from agentflow.dual.stale import StalePolicy
from agentflow.environment import Environment
from agentflow.errors import RunError, UserError

if TYPE_CHECKING:
    from agentflow.dual.guard import GuardedPolicy
    from agentflow.runtime import Context
    from agentflow_protocols.chat import Json

__all__ = ["DualProcess"]

Seen = TypeVar("Seen")
Action = TypeVar("Action")
Snapshot = TypeVar("Snapshot")

SLOTS: Mapping[str, object] = {"guideline": str, "belief": str, "assignment": list[object]}


class DualProcess(Generic[Seen, Action, Snapshot]):
    """Plays an environment in ticks; run it with a seed, or None. The output is a `DualReport`.

    Each tick of `tick` seconds on the run's clock, `fast` is asked for an action: a plain function of a
    `Now`, which should depend on nothing else. One that raises, or on a real clock takes longer than
    `deadline` seconds, costs this tick its `default` action. `slow` processes run beside, each call a
    run of its own below the game's; what they write is looked at when a tick begins: validated by its
    slot, judged by `stale`, applied as a whole. Their failures never delay a tick; nor does it end the
    game when `events`, a `when` or `draw` raises: the report tells. A `policy` that
    they write is asked first, with `state(seen)`; what it wants is `now.wish`. An interrupt to the run is
    an event `message` and is told to all; `events` may tell others. `draw` returns the environment as a
    text, which goes with the event of each tick for whoever looks on.

    The game ends when the environment is done, at the latest after `ticks`; then nothing of it is left.
    A game that a crash has ended begins anew.
    """

    kind = "dual"
    output_type = DualReport

    def __init__(
        self,
        environment: Environment[Seen, Action, Snapshot],
        *,
        fast: Callable[[Now[Seen]], Action | None],
        default: Action,
        slow: Sequence[Slow] = (),
        slots: Mapping[str, object] | None = None,
        tick: float = 0.25,
        ticks: int = 500,
        deadline: float | None = None,
        stale: StalePolicy | None = None,
        policy: GuardedPolicy | None = None,
        state: Callable[[Seen], Json] | None = None,
        events: Callable[[Now[Seen]], Sequence[str]] | None = None,
        draw: Callable[[Environment[Seen, Action, Snapshot]], str] | None = None,
        name: str = "dual",
    ) -> None:
        if not 0 < tick < float("inf"):
            raise UserError(f"{name}: a tick is seconds above 0, not {tick:g}")
        if ticks < 1:
            raise UserError(f"{name}: ticks must be 1 or more, not {ticks}")
        if deadline is not None and not 0 < deadline <= tick:
            raise UserError(
                f"{name}: the deadline is seconds above 0, at most a tick ({tick:g}), not {deadline:g}"
            )
        if policy is not None and state is None:
            raise UserError(
                f"{name}: a policy is told the state as JSON; give state=, a function of what is seen"
            )
        if not callable(fast) or inspect.iscoroutinefunction(fast):
            raise UserError(f"{name}: fast is a plain function of a Now, which never waits")
        names = [each.name for each in slow]
        if len(set(names)) < len(names):
            raise UserError(f"{name}: two slow processes have the same name")
        self.slots = dict(SLOTS if slots is None else slots)
        Slots(self.slots)  # a slot of no type is told at once
        for each in slow:
            known = (
                each.into is None or each.into in self.slots or (each.into == POLICY and policy is not None)
            )
            if not known:
                raise UserError(f"{name}: slow {each.name} writes into {each.into!r}, which is no slot")
        self.environment = environment
        self.fast = fast
        self.default = default
        self.slow = tuple(slow)
        self.tick = tick
        self.ticks = ticks
        self.deadline = 0.8 * tick if deadline is None else deadline
        self.stale = stale or StalePolicy()
        self.policy = policy
        self.state = state
        self.events = events
        self.draw = draw
        self.name = name

    async def __run__(self, context: Context[object], input: int | None = None, /) -> DualReport:
        """Play a game with the seed `input`."""
        from agentflow.dual.game import Game

        if context.run_id in context.state.records:
            raise RunError(f"run {context.run_id}: a game is not gone on with after a crash; begin a new one")
        return await Game(self, context).play(input)
