"""Modes: the ways to play that are set side by side, each made into a `DualProcess`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from agentflow import Context
from agentflow.dual import Brief, DualProcess, GuardedPolicy, Slow, StalePolicy, Update, every, when
from agentflow.errors import UserError
from agentflow_bench.overcooked.fast import Frozen, PerMacro, cook, obey
from agentflow_bench.overcooked.kitchen import TICKS, Kept, Kitchen
from agentflow_bench.overcooked.mind import TICK, Mind
from agentflow_bench.overcooked.seen import Seen
from agentflow_protocols.chat import Json

__all__ = ["MODES", "Mode", "Playing", "mode_of"]

Played: TypeAlias = DualProcess[Seen, str, Kept]

_SLOTS = {"guideline": str, "belief": str, "assignment": list[object], "reflected": int}
_WINDOW = 60
"""Ticks of the partner that a mind is shown."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to play: what it is, and whether something thinks in it (with a theory of mind, or without)."""

    name: str
    what: str
    thinks: bool = True
    tom: bool = False


MODES = {
    mode.name: mode
    for mode in (
        Mode("fsm", "the state machine alone", thinks=False),
        Mode("block", "each macro is thought about, and waited for", tom=True),
        Mode("periodic-block", "thinks every 20 ticks, and stands still meanwhile", tom=True),
        Mode("react", "assigns every 20 ticks from the last few ticks, beside the game"),
        Mode("reflexion", "reflects every 50 ticks and assigns, one after the other, beside the game"),
        Mode("dpt-no-tom", "assigns every 20 ticks and reflects every 50, both beside the game"),
        Mode("dpt", "the same with a belief about the partner", tom=True),
        Mode("dpt-no-fsm", "the same without a state machine behind it", tom=True),
        Mode("dual", "believes and assigns in one thought, every 20 ticks, beside the game", tom=True),
    )
}


def mode_of(name: str) -> Mode:
    """Return a mode by its name. Raises `UserError`."""
    if name not in MODES:
        raise UserError(f"no agent {name!r}; there are {', '.join(MODES)}")
    return MODES[name]


@dataclass(frozen=True, slots=True)
class Playing:
    """Who plays: a mode, its mind, and how time goes.

    `ask` and `reflect` are every how many ticks it is asked; with `rules` its answers may be policies.
    """

    mode: Mode
    mind: Mind | None = None
    ask: int = 20
    reflect: int = 50
    tick: float = TICK
    ticks: int = TICKS
    timeout: float | None = None
    max_age: int | None = None
    rules: bool = False

    def dual(self, kitchen: Kitchen, policy: GuardedPolicy | None = None) -> Played:
        """Return the game to be run with a seed. Raises `UserError` for a mode whose mind is missing."""
        if not self.mode.thinks:
            return self._made(kitchen, policy, cook, [])
        if self.mind is None:
            raise UserError(f"agent {self.mode.name} thinks: it needs a mind, the rules' or a model's")
        mind = self.mind
        assign = self._slow("assign", mind.assign, self.ask)
        match self.mode.name:
            case "block":
                memory = PerMacro()
                slow = Slow("choose", mind.choose, [when(memory.wants)], window=_WINDOW)
                return self._made(kitchen, policy, memory, [slow])
            case "periodic-block":
                return self._made(kitchen, policy, Frozen(self.ask), [assign])
            case "react":
                return self._made(
                    kitchen, policy, cook, [self._slow("assign", mind.assign, self.ask, window=3)]
                )
            case "reflexion":
                both = partial(_one_after_the_other, mind, self.reflect)
                return self._made(kitchen, policy, cook, [self._slow("assign", both, self.ask)])
            case "dual":
                return self._made(kitchen, policy, cook, [assign])
        reflect = self._slow("reflect", mind.reflect, self.reflect)
        assign = self._slow("assign", mind.assign, self.ask, window=3)
        fast = obey if self.mode.name == "dpt-no-fsm" else cook
        return self._made(kitchen, policy, fast, [assign, reflect])

    def _slow(self, name: str, think: Callable[..., object], ticks: int, *, window: int = _WINDOW) -> Slow:
        return Slow(name, think, [every(ticks)], window=window, timeout=self.timeout)

    def _made(
        self,
        kitchen: Kitchen,
        policy: GuardedPolicy | None,
        fast: Callable[..., str | None],
        slow: list[Slow],
    ) -> Played:
        return DualProcess(
            kitchen,
            fast=fast,
            default="stay",
            slow=slow,
            tick=self.tick,
            ticks=self.ticks,
            slots=_SLOTS,
            stale=StalePolicy(max_age=self.max_age),
            policy=policy,
            state=_state,
            name=self.mode.name,
        )


def _state(seen: Seen) -> Json:
    return seen.as_json()


async def _one_after_the_other(
    mind: Mind, ticks: int, context: Context[object], brief: Brief[object, object]
) -> object:
    """Reflect when it is time to, and then assign."""
    last = brief.slots.get("reflected", -ticks)
    if not isinstance(last, int) or brief.tick - last < ticks:
        return await mind.assign(context, brief)
    thought = await mind.reflect(context, brief)
    values = dict(getattr(thought, "values", {}))
    done = await mind.assign(context, replace(brief, slots={**brief.slots, **values}))
    told = {**values, **getattr(done, "values", {}), "reflected": brief.tick}
    return Update(told, holds=getattr(done, "holds", None))
