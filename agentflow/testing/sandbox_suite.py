"""Try a sandbox for policies: ways out of it, and ways to stop or fill this process.

```python
from agentflow.dual import MontySandbox
from agentflow.testing.sandbox_suite import try_bombs, try_escapes

async def check() -> None:
    async with MontySandbox(check_names=False) as sandbox:     # so that all run; or your own backend
        assert not (await try_escapes(sandbox)).escaped
        report = await try_bombs(sandbox, seconds=0.1)
        assert not report.uncontained
        assert report.late_ms < 20                             # the event loop went on all the while
```

A backend that has no limits does not come back from a bomb: try it in a process that you can end.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agentflow.dual.sandbox import PolicyFault, PolicySandbox
from agentflow.errors import UserError
from agentflow.runtime.clock import current_clock
from agentflow.testing.sandbox_cases import BOMBS, ESCAPES, SandboxCase
from agentflow_protocols.chat import Json

__all__ = ["BOMBS", "ESCAPES", "CaseOutcome", "SandboxCase", "SuiteReport", "try_bombs", "try_escapes"]

_VARIABLE = "AGENTFLOW_SANDBOX_BAIT"
_MOST_SECONDS = 1.6  # a bomb ends by then
_BETWEEN_S = 0.005  # ticks of the loop
_HEALTHY = "def policy(state):\n    return state['n'] + 1\n"


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What came of a case: how long it took, its value or fault, and how it got out, if it did.

    `healthy`: another policy of the same sandbox was right afterwards.
    """

    case: SandboxCase
    seconds: float
    value: Json = None
    fault: PolicyFault | None = None
    escaped: str = ""
    healthy: bool = True


@dataclass(slots=True)
class SuiteReport:
    """What came of all cases. `late_ms` is by how much ticks of the loop came late, at p99.

    `grown_mib` is by how much this process's memory grew at the most.
    """

    outcomes: list[CaseOutcome] = field(default_factory=list)
    late_ms: float = 0.0
    grown_mib: float = 0.0

    @property
    def escaped(self) -> list[str]:
        """Names of the cases that got out."""
        return [one.case.name for one in self.outcomes if one.escaped]

    @property
    def uncontained(self) -> list[str]:
        """Names of the bombs that lasted longer than 1.6 s, or left the sandbox useless."""
        return [one.case.name for one in self.outcomes if one.seconds > _MOST_SECONDS or not one.healthy]

    @property
    def slowest(self) -> float:
        """Seconds of the case that took longest."""
        return max((one.seconds for one in self.outcomes), default=0.0)


async def try_escapes(sandbox: PolicySandbox, *, seconds: float = 0.5) -> SuiteReport:
    """Run every escape. One has got out when something came back that only this process knows.

    An environment variable and a file hold a secret of this moment; a file may be made; a loopback
    port may be reached; the state may be changed. All of it is put away afterwards.
    """
    report = SuiteReport()
    with _laid() as bait:
        for case in ESCAPES:
            report.outcomes.append(await _try_escape(sandbox, case, bait, seconds))
    return report


async def try_bombs(sandbox: PolicySandbox, *, seconds: float = 0.5) -> SuiteReport:
    """Run every bomb with a budget of `seconds`, while the loop ticks. Needs the wall clock."""
    if current_clock().kind != "wall":
        raise UserError("bombs are tried on the wall clock: the loop's ticks are measured")
    report = SuiteReport()
    before = _most_memory()
    with _Ticks() as ticks:
        for case in BOMBS:
            began = time.monotonic()
            value, fault = await _run(sandbox, case, {}, seconds)
            took = time.monotonic() - began
            healthy = await _run(sandbox, SandboxCase("healthy", "bomb", _HEALTHY), {"n": 1}, seconds)
            report.outcomes.append(CaseOutcome(case, took, value, fault, healthy=healthy == (2, None)))
    report.late_ms = ticks.late_ms()
    report.grown_mib = _most_memory() - before
    return report


@dataclass(slots=True)
class _Bait:
    secret: str
    folder: Path
    listener: socket.socket

    def state(self) -> dict[str, Json]:
        return {
            "name": _VARIABLE,
            "file": str(self.folder / "secret"),
            "place": str(self.folder / "made"),
            "port": int(self.listener.getsockname()[1]),
            "orders": ["soup"],
        }

    def taken(self, state: dict[str, Json], value: Json, fault: PolicyFault | None) -> str:
        """Return how a case got out, or nothing."""
        if self.secret in json.dumps(value) or self.secret in str(fault):
            return "it read the secret"
        made = self.folder / "made"
        if made.exists():
            made.unlink()
            return "it made a file"
        if state != self.state():
            return "it changed the state"
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return ""
        return "it opened a connection"


@contextmanager
def _laid() -> Iterator[_Bait]:
    secret = secrets.token_hex(16)
    former = os.environ.get(_VARIABLE)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "secret").write_text(secret)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.setblocking(False)
        os.environ[_VARIABLE] = secret
        try:
            yield _Bait(secret, folder, listener)
        finally:
            if former is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = former


async def _try_escape(sandbox: PolicySandbox, case: SandboxCase, bait: _Bait, seconds: float) -> CaseOutcome:
    state = bait.state()
    began = time.monotonic()
    value, fault = await _run(sandbox, case, state, seconds)
    return CaseOutcome(case, time.monotonic() - began, value, fault, bait.taken(state, value, fault))


async def _run(
    sandbox: PolicySandbox, case: SandboxCase, state: Json, seconds: float
) -> tuple[Json, PolicyFault | None]:
    try:
        policy = await sandbox.load(case.source)
    except PolicyFault as fault:
        return None, fault
    try:
        return await policy.call(state, seconds=seconds), None
    except PolicyFault as fault:
        return None, fault
    finally:
        await policy.aclose()


class _Ticks:
    """Measures by how much the loop is late, every few milliseconds."""

    def __enter__(self) -> _Ticks:
        self._loop = asyncio.get_running_loop()
        self._late: list[float] = []
        self._plan()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def late_ms(self) -> float:
        late = sorted(self._late)
        return 1000 * late[int(0.99 * (len(late) - 1))] if late else 0.0

    def _plan(self) -> None:
        self._due = self._loop.time() + _BETWEEN_S
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._late.append(self._loop.time() - self._due)
        self._plan()


def _most_memory() -> float:
    """Return the most memory that this process has had, in MiB."""
    if sys.platform == "win32":
        return 0.0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)
