"""GuardedPolicy: a policy that a model may replace while a game goes on, and that can't spoil it.

A policy is tried on states that were seen before it acts; it acts within a budget; what it does wrong
is a strike and costs one default action; after three it is gone, and the last good one acts again.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, TypeAlias

from agentflow.dual.rules import LoadedRules, RulePolicy, unfenced
from agentflow.dual.sandbox import LoadedPolicy, PolicyFault, PolicySandbox, state_text
from agentflow.errors import UserError
from agentflow_protocols.chat import Json

__all__ = ["Allowed", "Chosen", "GuardedPolicy", "PolicyVersion"]

Allowed: TypeAlias = Callable[[Json], str | None]

_TRIED = 3  # states
_CLEAN = 100  # calls without a fault that take back a strike
_HISTORY = 50
_DEFINES = re.compile(r"^(async\s+)?def\s|^(import|from|class)\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What to do. `action` None: the fast function decides. `fault` is what the policy did wrong."""

    action: Json
    by: Literal["policy", "default"]
    fault: PolicyFault | None = None


@dataclass(slots=True)
class PolicyVersion:
    """A policy that was accepted: from what tick it knew the world, its text, and what became of it."""

    version: int
    based_on: int
    text: str
    state: Literal["waiting", "acting", "kept", "replaced", "cleared", "struck out"] = "waiting"
    strikes: int = 0
    fault: str = ""


@dataclass(slots=True)
class _Active:
    """A policy that is loaded."""

    version: PolicyVersion
    loaded: LoadedRules | LoadedPolicy
    clean: int = 0
    worked: bool = False

    async def call(self, state: Json, tick: int, seconds: float, *, dry: bool = False) -> Json:
        if isinstance(self.loaded, LoadedRules):
            return await self.loaded.call(state, tick, seconds=seconds, dry=dry)
        return await self.loaded.call(state, seconds=seconds)


class GuardedPolicy:
    """The policy that acts, the last good one behind it, and the one that comes next.

    `allowed(action)` returns what is wrong with an action, or None: it is the list of what may be
    done, with which arguments. `states` are recorded ones to try a policy on, and `act` records more,
    of which the last `keep` are kept. `seconds` is the budget of a call in wall time, `strikes` how
    many faults end a policy; 100 calls without one take a strike back. It has up to three workers of
    the sandbox: the policy that acts, the last good one, and the one that is tried.
    """

    def __init__(
        self,
        sandbox: PolicySandbox,
        *,
        allowed: Allowed,
        states: Sequence[Json] = (),
        keep: int = 32,
        seconds: float = 0.02,
        strikes: int = 3,
    ) -> None:
        if seconds <= 0 or strikes < 1 or keep < 1:
            raise UserError("seconds is above 0; strikes and keep are 1 or more")
        self._sandbox = sandbox
        self._allowed = allowed
        self._seen: deque[str] = deque((state_text(state) for state in states), maxlen=keep)
        self._seconds = seconds
        self._most = strikes
        self._proposing = asyncio.Lock()
        self._active: _Active | None = None
        self._good: _Active | None = None
        self._next: _Active | None = None
        self._clear = False
        self._gone: list[_Active] = []  # closed when there is time, not in a tick
        self._newest = -1
        self._count = 0
        self._closed = False
        self.history: deque[PolicyVersion] = deque(maxlen=_HISTORY)

    @property
    def version(self) -> int | None:
        """The number of the policy that acts, counted from 1; None when none does."""
        return self._active.version.version if self._active else None

    @property
    def strikes(self) -> int:
        """Strikes of the policy that acts."""
        return self._active.version.strikes if self._active else 0

    async def propose(self, policy: object, *, tick: int) -> None:
        """Try a policy and, when it is sound, let it act from the next call on.

        `policy` is a `RulePolicy`, rules as objects or JSON, or a model's text: JSON rules or Python
        that defines `policy(state)`, in a fence or bare. An empty list of rules clears: no policy acts
        any more. `tick` is the one whose state the author knew. Raises `PolicyFault`, and then nothing
        has changed; `stale` when a policy based on a later tick has been accepted.
        """
        read = _read(policy)
        async with self._proposing:
            if self._closed:
                raise UserError("the guarded policy is closed")
            if tick < self._newest:
                raise PolicyFault("stale", f"based on tick {tick}; one based on tick {self._newest} is newer")
            await self._put_away()
            text = read if isinstance(read, str) else read.to_json()
            version = PolicyVersion(self._count + 1, tick, text)
            if isinstance(read, RulePolicy) and not read.rules:
                version.state = "cleared"
                self._retire(self._next, "replaced")
                self._next, self._clear = None, True
            else:
                tried = await self._tried(version, read, tick)
                self._retire(self._next, "replaced")
                self._next, self._clear = tried, False
            self._newest, self._count = tick, version.version
            self.history.append(version)

    async def act(self, state: Json, tick: int) -> Chosen:
        """Return what the policy does in `state`; never raises for what the policy did."""
        self._seen.append(state_text(state))
        self._take_next()
        active = self._active
        if active is None:
            return Chosen(None, "default")
        try:
            action = await active.call(state, tick, self._seconds)
            if action is not None:
                self._check(action)
        except PolicyFault as fault:
            self._strike(active, fault)
            return Chosen(None, "default", fault)
        active.worked = True
        active.clean += 1
        if active.clean >= _CLEAN and active.version.strikes:
            active.clean, active.version.strikes = 0, active.version.strikes - 1
        return Chosen(action, "default" if action is None else "policy")

    async def aclose(self) -> None:
        """Close the policies. The sandbox is whose it was."""
        self._closed = True
        async with self._proposing:
            for one in (self._active, self._good, self._next):
                if one is not None:
                    self._gone.append(one)
            self._active = self._good = self._next = None
            await self._put_away()

    async def __aenter__(self) -> GuardedPolicy:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _tried(self, version: PolicyVersion, read: RulePolicy | str, tick: int) -> _Active:
        """Load a policy, and try it on recorded states. Raises `PolicyFault`."""
        if isinstance(read, RulePolicy):
            for number, rule in enumerate(read.rules, 1):
                try:
                    if rule.do is not None:
                        self._check(rule.do)
                except PolicyFault as fault:
                    raise PolicyFault("result", f"rule {number}: {fault.told}") from None
        active = await self._loaded(version, read)
        try:
            for text in _spread(self._seen):
                await self._try(active, json.loads(text), tick)
        except BaseException:
            await active.loaded.aclose()
            raise
        if isinstance(read, RulePolicy):
            return active
        # Trying it may have changed what it remembers.
        await active.loaded.aclose()
        return await self._loaded(version, read)

    async def _loaded(self, version: PolicyVersion, read: RulePolicy | str) -> _Active:
        if isinstance(read, RulePolicy):
            return _Active(version, await read.load(self._sandbox))
        return _Active(version, await self._sandbox.load(read))

    async def _try(self, active: _Active, state: Json, tick: int) -> None:
        try:
            action = await active.call(state, tick, self._seconds, dry=True)
        except PolicyFault as fault:
            if fault.kind not in ("time", "worker"):
                raise
            # The machine may have been busy with something else for a moment.
            action = await active.call(state, tick, self._seconds, dry=True)
        if action is not None:
            self._check(action)

    def _check(self, action: Json) -> None:
        try:
            wrong = self._allowed(action)
        except Exception as error:  # a developer's function, told what a model made up
            wrong = f"not allowed ({type(error).__name__}: {error})"
        if wrong is not None:
            raise PolicyFault("result", wrong)

    def _take_next(self) -> None:
        """Let what was accepted act. No wait is in here, so a tick has one policy or the other."""
        if self._clear:
            self._clear = False
            self._retire(self._active, "cleared")
            self._retire(self._good, "cleared")
            self._active = self._good = None
        if self._next is not None:
            former, self._active, self._next = self._active, self._next, None
            self._active.version.state = "acting"
            if former is not None and former.worked:
                self._retire(self._good, "replaced")
                former.version.state = "kept"
                self._good = former
            else:
                self._retire(former, "replaced")

    def _strike(self, active: _Active, fault: PolicyFault) -> None:
        version = active.version
        version.strikes, version.fault, active.clean = version.strikes + 1, str(fault), 0
        if version.strikes >= self._most and self._active is active:
            self._retire(active, "struck out")
            self._active, self._good = self._good, None
            if self._active is not None:
                self._active.version.state, self._active.version.strikes = "acting", 0

    def _retire(self, one: _Active | None, how: Literal["replaced", "cleared", "struck out"]) -> None:
        if one is not None:
            one.version.state = how
            self._gone.append(one)

    async def _put_away(self) -> None:
        gone, self._gone = self._gone, []
        for one in gone:
            await one.loaded.aclose()


def _read(policy: object) -> RulePolicy | str:
    """Return rules, or Python source. Raises `PolicyFault` for neither."""
    if isinstance(policy, RulePolicy):
        return policy
    if not isinstance(policy, str):
        return RulePolicy.from_json(policy)
    text = unfenced(policy)
    if text.startswith(("[", "{")) or not _DEFINES.search(text):
        return RulePolicy.from_text(text)
    return text


def _spread(seen: Sequence[str]) -> list[str]:
    """Return the first, the middle and the last of what was recorded."""
    last = len(seen) - 1
    places = sorted({0, last // 2, last}) if seen else []
    return [seen[place] for place in places[:_TRIED]]
