"""Worker: a session of pydantic-monty in a process of its own, and what its errors mean."""

from __future__ import annotations

import builtins
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from agentflow.dual.sandbox import FaultKind, PolicyFault

if TYPE_CHECKING:
    from pydantic_monty import Frame, MontyRuntimeError, MontySession

__all__ = ["Worker"]

_PRINTED = 16 * 1024  # characters of a call; what a policy prints is thrown away

# The second text of a session. `policy` is looked up at each call; it can't reach what is bound here.
# The lines are told apart by their numbers: 3 calls the policy, 4 puts its answer into JSON.
_BINDING = """import json
def _agentflow_call(text, loads=json.loads, dumps=json.dumps):
    answer = policy(loads(text))
    return dumps(answer, allow_nan=False)
policy
None"""
_SOURCE, _BOUND = "<python-input-0>", "<python-input-1>"
_ANSWER_LINE = 4
# A formatted string is a string, whatever the policy has put in the place of the names in it.
_CALL = "f'{_agentflow_call(_agentflow_state)}'"

_REACHED = ("ImportError", "ModuleNotFoundError", "PermissionError")
_NAME = re.compile(r"name '(\w+)' is not defined")
_MISSING = re.compile(r"[^:]*:(\d+):\d+: error\[unresolved-(reference|import)\][^`]*`([\w.]+)`")


class _Types(Exception):
    """What the checker of types says of a source, a line each."""


class Worker:
    """A session. `longest` is the seconds after which a call is killed. All but `kill_if_busy` block."""

    def __init__(self, session: MontySession, longest: float) -> None:
        self._session = session
        self.pid = session.worker_pid
        self._longest = longest
        self._spent = self._allowed = 0.0
        self._busy = False
        self._closed = False
        self._closing = threading.Lock()
        self._handle: int | None = None
        if sys.platform == "linux" and self.pid is not None:
            try:
                self._handle = os.pidfd_open(self.pid)  # a name that no later process can have
            except OSError:
                pass
            self._spent = _processor_time(self.pid)

    def load(self, source: str) -> None:
        """Run a policy's source. Raises `PolicyFault`."""
        # The value of a text's last line would be rebuilt here; so that line is ours.
        self._feed(f"{source}\n\nNone", loading=True)
        self._feed(_BINDING, loading=True)

    def check(self, source: str) -> None:
        """Raise `PolicyFault` for a name or a module in `source` that is not there.

        The session must be one with types checked. What else its checker says may be wrong about sound
        code (`best = None` before a loop that sets it; `map`, which it does not know), and is left to
        trials. The source runs meanwhile.
        """
        try:
            self._feed(f"{source}\n\nNone", loading=True)
        except _Types as found:
            for line in str(found).splitlines():
                missing = _MISSING.match(line)
                if missing is None or hasattr(builtins, missing[3]) or missing[3] == "__future__":
                    continue
                if missing[2] == "import":
                    told = f"there is no module {missing[3]!r}"
                    raise PolicyFault("forbidden", told, line=int(missing[1])) from None
                told = f"name {missing[3]!r} is not defined"
                raise PolicyFault("syntax", told, line=int(missing[1])) from None

    def call(self, text: str) -> str:
        """Return the policy's answer to a state, both JSON text. Raises `PolicyFault`."""
        answer = self._feed(_CALL, {"_agentflow_state": text})
        if not isinstance(answer, str):
            raise PolicyFault("result", "it returned what is not JSON")
        return answer

    def kill_if_busy(self) -> None:
        """Kill the process while a call is under way in it; any thread may do so."""
        if not self._busy:
            return
        try:
            if sys.platform == "linux" and self._handle is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            elif self.pid is not None:
                os.kill(self.pid, signal.SIGKILL)
        except OSError:
            pass

    def close(self) -> None:
        """Give the process back, once no call is under way in it. May be called twice, by any thread."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            try:
                self._session.__exit__(None, None, None)
            except Exception:  # of a worker that is gone: what there was to end has ended
                pass
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def _feed(self, code: str, inputs: dict[str, str] | None = None, *, loading: bool = False) -> object:
        import pydantic_monty

        self._busy = True
        began = time.monotonic()
        try:
            self._allow()
            printed = pydantic_monty.CollectString(_PRINTED)
            return cast("object", self._session.feed_run(code, inputs=inputs, print_callback=printed))
        except pydantic_monty.MontySyntaxError as error:
            raise PolicyFault("syntax", str(error), line=_line(error.traceback())) from None
        except pydantic_monty.MontyCrashedError as error:
            if error.timed_out:
                raise PolicyFault("time", "killed, since it did not end") from None
            raise PolicyFault("worker", str(error)) from None
        except pydantic_monty.MontyRuntimeError as error:
            raise _fault(error, loading) from None
        except pydantic_monty.MontyTypingError as error:
            raise _Types(error.display()) from None
        except pydantic_monty.MontyError as error:
            raise PolicyFault("result", str(error)) from None
        except RuntimeError as error:  # the session has ended already
            raise PolicyFault("worker", str(error)) from None
        finally:
            self._busy = False
            self._spent += 2 * (time.monotonic() - began)  # at the most: it has a thread beside

    def _allow(self) -> None:
        """Bound the processor time that the worker has left, as long as calls may take and no longer.

        The interpreter does not look at its clock everywhere (it compares two lists to their ends). We
        kill such a call; when we have been killed ourselves, the system does.
        """
        needed = self._spent + 1.5 * self._longest
        if sys.platform != "linux" or self.pid is None or needed <= self._allowed:
            return
        import resource

        self._allowed = float(math.ceil(needed))
        try:
            _, most = resource.prlimit(self.pid, resource.RLIMIT_CPU)
            resource.prlimit(self.pid, resource.RLIMIT_CPU, (int(self._allowed), most))
        except OSError:  # it has ended, which the call will find
            pass


def _processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has had; it may have had a policy before."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _line(frames: Sequence[Frame]) -> int | None:
    lines = [frame.line for frame in frames if frame.filename == _SOURCE]
    return lines[-1] if lines else None


def _fault(error: MontyRuntimeError, loading: bool) -> PolicyFault:
    """Return what an error inside the sandbox means."""
    frames = error.traceback()
    text = str(error)
    name = text.partition(":")[0]
    last = frames[-1] if frames else None
    line = _line(frames)
    if loading and last is not None and last.filename == _BOUND:
        return PolicyFault("syntax", "the source defines no policy(state)")
    if last is not None and last.filename == _BOUND and last.line == _ANSWER_LINE:
        return PolicyFault("result", text)
    return PolicyFault(_kind(name, text, loading), text, line=line)


def _kind(name: str, text: str, loading: bool) -> FaultKind:
    if (name == "TimeoutError" and "time limit exceeded" in text) or "suspension limit" in text:
        return "time"
    if name == "MemoryError":
        return "memory"
    if name == "RecursionError":
        return "depth"
    if name == "NotImplementedError" and loading:
        return "syntax"
    if name in _REACHED or "not supported in this environment" in text:
        return "forbidden"
    missing = _NAME.search(text)
    if name == "NameError" and missing is not None and hasattr(builtins, missing.group(1)):
        return "forbidden"
    return "raised"
