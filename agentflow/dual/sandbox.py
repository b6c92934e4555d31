"""The seam to a place where code that a model wrote may run, and what such code can do wrong.

A policy is Python source that defines `policy(state)`: it is told a state as JSON, and returns an
action as JSON, or None. A backend loads it once and calls it every tick. Whatever the code does, a
call ends in time, and in a value or in a `PolicyFault`.
"""

from __future__ import annotations

import json
import math
from typing import Literal, Protocol, TypeAlias, cast

from agentflow.errors import ToolRetry, UserError
from agentflow_protocols.chat import Json

__all__ = [
    "FaultKind",
    "LoadedPolicy",
    "PolicyFault",
    "PolicySandbox",
    "check_source",
    "read_answer",
    "state_text",
]

FaultKind: TypeAlias = Literal[
    "syntax", "forbidden", "time", "memory", "depth", "raised", "result", "worker", "stale"
]

MOST_SOURCE = 64 * 1024  # characters
MOST_ANSWER = 64 * 1024
DEEPEST_ANSWER = 32
_LONGEST_FAULT = 240


class PolicyFault(ToolRetry):
    """What a policy did wrong, in one line that the model which wrote it can act on.

    `kind` is `syntax` (the sandbox can't read it), `forbidden` (it reached for what is not there),
    `time`, `memory`, `depth` (of recursion), `raised`, `result` (not JSON, too large, or no action
    that is allowed), `worker` (the process that ran it is gone), `stale` (it is older than the
    policy that acts). `line` is a line of its source, where one is known; `told` is the message alone.
    """

    def __init__(self, kind: FaultKind, message: str, *, line: int | None = None) -> None:
        # Some of it is the policy's own words: no control characters, nothing long.
        text = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
        where = "" if line is None else f"line {line}: "
        self.told = text[:_LONGEST_FAULT] + ("…" if len(text) > _LONGEST_FAULT else "")
        super().__init__(f"{kind}: {where}{self.told}")
        self.kind: FaultKind = kind
        self.line = line


class LoadedPolicy(Protocol):
    """A policy that is ready to be called."""

    async def call(self, state: Json, *, seconds: float) -> Json:
        """Return `policy(state)`.

        `state` is copied, never changed. Raises `PolicyFault` for whatever the code did, at the
        latest after `seconds` of wall time, twice that while a lost worker is being replaced.
        Calls of one policy happen one after another.
        """
        ...

    async def aclose(self) -> None:
        """Give back what the policy holds. May be called twice."""
        ...


class PolicySandbox(Protocol):
    """A backend: a place where policies run."""

    async def load(self, source: str) -> LoadedPolicy:
        """Return the policy that `source` defines as `policy(state)`. Raises `PolicyFault`."""
        ...

    async def aclose(self) -> None:
        """End all that belongs to it, with the policies that are still open. May be called twice."""
        ...


def check_source(source: str) -> None:
    """Raise `PolicyFault` for a source that is too long to be a policy, or no text that can be sent."""
    if len(source) > MOST_SOURCE:
        raise PolicyFault("syntax", f"{len(source)} characters; a policy has at most {MOST_SOURCE}")
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise PolicyFault("syntax", f"character {error.start} is half of one (a surrogate)") from None


def state_text(state: Json) -> str:
    """Return `state` as JSON text. Raises `UserError` for what is not JSON."""
    try:
        return json.dumps(state, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"a policy's state must be JSON: {error}") from None


def read_answer(text: str) -> Json:
    """Return what a policy answered as JSON text. Raises `PolicyFault` (`result`)."""
    if len(text) > MOST_ANSWER:
        raise PolicyFault("result", f"{len(text)} characters of JSON; at most {MOST_ANSWER}")
    try:
        answer = cast("Json", json.loads(text, parse_constant=_refuse))
    except RecursionError:
        raise PolicyFault("result", f"nested more than {DEEPEST_ANSWER} deep") from None
    except ValueError:
        raise PolicyFault("result", "it returned what is not JSON") from None
    _check_shape(answer)
    return answer


def _refuse(name: str) -> float:
    raise ValueError(name)


def _check_shape(answer: Json) -> None:
    """Raise for what JSON text can say and yet is no value to hand on: too deep, or infinite."""
    level: list[Json] = [answer]
    for _ in range(DEEPEST_ANSWER + 1):
        deeper: list[Json] = []
        for value in level:
            if isinstance(value, float) and not math.isfinite(value):
                raise PolicyFault("result", "a number that is too large")
            if isinstance(value, dict):
                deeper += value.values()
            elif isinstance(value, list):
                deeper += value
        if not deeper:
            return
        level = deeper
    raise PolicyFault("result", f"nested more than {DEEPEST_ANSWER} deep")
