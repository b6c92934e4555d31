"""TrustedPython: a developer's own policies, in this process, behind the same seam as a sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

from agentflow.dual.sandbox import FaultKind, PolicyFault, check_source, read_answer, state_text
from agentflow.errors import UserError
from agentflow_protocols.chat import Json

__all__ = ["TrustedPolicy", "TrustedPython"]


class TrustedPython:
    """NO SANDBOX. Runs a policy's source in this process, with everything that this process may do.

    It reads files, opens connections, ends the process, and a loop without end stops the event loop
    for ever: no budget is kept. It is for policies that you wrote yourself, which are then as fast as
    a function call, and for comparing. Never give it a word that a model wrote.
    """

    async def load(self, source: str) -> TrustedPolicy:
        """Execute `source` here, and return the `policy` that it defines. Raises `PolicyFault`."""
        check_source(source)
        names: dict[str, object] = {"__name__": "policy"}
        try:
            code = compile(source, "<policy>", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise PolicyFault(
                "syntax", f"{type(error).__name__}: {error}", line=getattr(error, "lineno", None)
            ) from None
        try:
            exec(code, names)
        except Exception as error:
            raise _raised(error) from None
        policy = names.get("policy")
        if not callable(policy):
            raise PolicyFault("syntax", "the source defines no policy(state)")
        return TrustedPolicy(policy)

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""


class TrustedPolicy:
    """A function of this process as a policy. See `TrustedPython`."""

    def __init__(self, policy: Callable[[Json], object]) -> None:
        self._policy: Callable[[Json], object] | None = policy

    async def call(self, state: Json, *, seconds: float) -> Json:
        """Call the function with a copy of `state`. `seconds` is not kept."""
        if self._policy is None:
            raise UserError("the policy is closed")
        copied = cast("Json", json.loads(state_text(state)))
        try:
            answer = self._policy(copied)
        except Exception as error:
            raise _raised(error) from None
        try:
            text = json.dumps(answer, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise PolicyFault("result", f"{type(error).__name__}: {error}") from None
        return read_answer(text)

    async def aclose(self) -> None:
        """Forget the function."""
        self._policy = None


def _raised(error: Exception) -> PolicyFault:
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<policy>":
            line = trace.tb_lineno
        trace = trace.tb_next
    kind: FaultKind = "depth" if isinstance(error, RecursionError) else "raised"
    return PolicyFault(kind, f"{type(error).__name__}: {error}", line=line)
