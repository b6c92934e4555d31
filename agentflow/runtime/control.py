"""Commands to the process that owns a journal: a Unix socket beside the file.

A command is a line of JSON, `{"command": "cancel", "run": …}`, the answer another,
`{"ok": true}` or `{"error": …}`. Only the file's owner may connect (mode 0600).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agentflow.errors import AgentflowError, RunError, UserError
from agentflow.runtime.ending import end_all
from agentflow.runtime.inbox import Interrupt
from agentflow.runtime.state import RunState

__all__ = ["ControlServer", "command", "listener", "socket_path"]

COMMANDS = ("cancel", "send", "interrupt", "approve", "deny", "tree")
_PATH_LIMIT = 100  # bytes that a Unix socket's path may safely have
_LINE_LIMIT = 1 << 20


def socket_path(journal: Path) -> Path:
    """Return where the owner of `journal` listens."""
    path = Path(f"{journal.absolute()}.sock")
    if len(os.fsencode(path)) <= _PATH_LIMIT:
        return path
    name = hashlib.blake2b(os.fsencode(path), digest_size=12).hexdigest()
    return Path(tempfile.gettempdir()) / f"agentflow-{os.getuid()}-{name}.sock"


class ControlServer:
    """Answers commands on the runs of one Runtime."""

    def __init__(self, journal: Path, runs: Mapping[str, RunState]) -> None:
        self._path = socket_path(journal)
        self._runs = runs
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen, where the platform has Unix sockets."""
        if not hasattr(asyncio, "start_unix_server"):
            return
        self._path.unlink(missing_ok=True)  # the journal's lock says that no owner is alive
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(self._path))
            os.chmod(self._path, 0o600)
        except OSError as error:
            listening.close()
            raise RunError(f"journal's socket {self._path}: {error.strerror}") from None
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=_LINE_LIMIT)

    async def aclose(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is None:
            return
        self._server.close()
        await end_all(self._tasks)
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            asked = json.loads(line)
            state = self._find(str(asked["run"]))
            return {"ok": True, "value": await _obey(state, asked)}
        except AgentflowError as error:
            return {"error": str(error)}
        except (ValueError, KeyError, TypeError) as error:
            return {"error": f"not a command: {error}"}

    def _find(self, run: str) -> RunState:
        root = self._runs.get(run.split("/")[0])
        state = next((s for s in root.walk() if s.id == run), None) if root else None
        if state is None:
            raise RunError(f"no run {run} is under way")
        return state


async def _obey(state: RunState, asked: Mapping[str, object]) -> object:
    """Carry out one command on a run."""
    match asked["command"]:
        case "tree":
            return state.tree()
        case "cancel":
            state.root.stop_as = "cancelled"
            state.root.stop_reason = str(asked.get("reason") or "by command")
            if state.root.task is not None:
                state.root.task.cancel()
            return None
        case "interrupt":
            told = listener(state)
            await told.interrupt(Interrupt("user", str(asked["text"])))
            return told.id
        case "send":
            name, value = str(asked["name"]), asked.get("value")
        case "approve":
            name, value = f"approve/{asked['call']}", {"approved": True}
        case "deny":
            name, value = f"approve/{asked['call']}", {"approved": False, "why": str(asked.get("why") or "")}
        case other:
            raise UserError(f"unknown command {other!r}: one of {', '.join(COMMANDS)}")
    await state.signal(name, json.dumps(value).encode())
    return None


def listener(state: RunState) -> RunState:
    """Return the run that a person's text goes to: this one, or where a plan runs the one agent in it.

    Raises `UserError` that names the agents where several are under way, `RunError` where none is.
    """
    found: list[RunState] = []
    left = [state]
    plan = False
    while left:
        one = left.pop()
        plan = plan or one.live is not None
        if one.status == "running" and one.messages:
            found.append(one)
        else:
            left += reversed(one.children.values())
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(one.id for one in found)
        raise UserError(f"{len(found)} agents are under way in run {state.id}: name one of {names}")
    if plan:
        raise RunError(f"no agent is under way in run {state.id}: see `agentflow runs tree {state.id}`")
    return state


def command(journal: str | os.PathLike[str], asked: Mapping[str, object]) -> object:
    """Send a command to the owner of `journal` and return what it answers.

    Raises RunError when no process owns it or it refuses.
    """
    path = socket_path(Path(journal))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(asked).encode() + b"\n")
            line = connection.makefile("rb").readline()
            answer = json.loads(line)
        except (OSError, ValueError):
            raise RunError(
                f"journal {journal}: no process has it open; `agentflow runs list` shows its runs"
            ) from None
    if "error" in answer:
        raise RunError(str(answer["error"]))
    value: object = answer.get("value")
    return value
