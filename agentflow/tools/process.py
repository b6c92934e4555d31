"""A tool that is a program: started without a shell, killed with its whole group."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from string import Formatter
from typing import cast

from agentflow.errors import ToolFailed, ToolRetry, UserError
from agentflow.runtime.clock import current_clock
from agentflow.tools.calls import wait_out
from agentflow.tools.faults import clip_value
from agentflow_protocols.chat.messages import Json

__all__ = ["Process"]

_INHERITED = re.compile(r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|SYSTEMROOT")
_ERROR_TAIL = 500


class Process:
    """What one process tool runs. See `tool.process`."""

    def __init__(
        self,
        tool: str,
        command: tuple[str, ...],
        described: Mapping[str, str | Mapping[str, Json]],
        *,
        stdin: str | None,
        env: Mapping[str, str] | None,
        cwd: str | None,
        ok_exit: tuple[int, ...],
        max_output: int,
    ) -> None:
        if not command:
            raise UserError(f"tool `{tool}`: the command is empty")
        self._tool = tool
        self._command = [_parse(tool, part) for part in command]
        self._stdin = None if stdin is None else _parse(tool, stdin)
        if any(name for _, name in self._command[0]):
            raise UserError(f"tool `{tool}`: the program itself can't be a parameter")
        parts = [*self._command, self._stdin or []]
        names = list(dict.fromkeys(name for part in parts for _, name in part if name))
        self._properties = _properties(tool, names, described)
        inherited = {k: v for k, v in os.environ.items() if _INHERITED.fullmatch(k)}
        self._env = {**inherited, **(env or {})}
        self._cwd = cwd
        self._ok_exit = ok_exit
        self._max_output = max_output

    @property
    def schema(self) -> dict[str, Json]:
        """The JSON Schema of the parameters, all of them required."""
        return {
            "type": "object",
            "properties": self._properties,
            "required": list(self._properties),
            "additionalProperties": False,
        }

    async def run(self, context: object, arguments: dict[str, Json]) -> str:
        """Run the program with `arguments` and return its standard output.

        Raises `ToolRetry` for an argument that no program can be given, `ToolFailed` for
        a program that can't be started or ends with another exit code than allowed.
        """
        argv = self._argv(arguments)
        text = None if self._stdin is None else _fill(self._stdin, arguments).encode()
        with current_clock().hold():
            output = await self._communicate(argv, text)
        if output.exit not in self._ok_exit:
            tail = output.errors.text().strip()[-_ERROR_TAIL:]
            raise ToolFailed(f"{self._tool}: exit code {output.exit}" + (f": {tail}" if tail else ""))
        return output.printed.text()

    def _argv(self, arguments: Mapping[str, Json]) -> list[str]:
        argv: list[str] = []
        for part in self._command:
            text = _fill(part, arguments)
            name = part[0][1] if part and not part[0][0] else None
            if name and text.startswith("-") and "--" not in argv and not self._numeric(name):
                raise ToolRetry(f"{self._tool}: `{name}`: must not begin with `-`, found {clip_value(text)}")
            if "\0" in text:
                raise ToolRetry(f"{self._tool}: an argument holds a NUL character")
            argv.append(text)
        return argv

    def _numeric(self, name: str) -> bool:
        return self._properties[name].get("type") in ("integer", "number")

    async def _communicate(self, argv: list[str], text: bytes | None) -> _Output:
        loop = asyncio.get_running_loop()
        output = _Output(loop, self._max_output)
        pipe = asyncio.subprocess.PIPE
        try:
            transport, _ = await loop.subprocess_exec(
                lambda: output,
                *argv,
                stdin=asyncio.subprocess.DEVNULL if text is None else pipe,
                stdout=pipe,
                stderr=pipe,
                cwd=self._cwd,
                env=self._env,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolFailed(f"{self._tool}: `{argv[0]}` can't be started: {error.strerror}") from error
        try:
            if text is not None:
                entry = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
                entry.write(text)
                entry.close()
            await asyncio.shield(output.ended)
        finally:
            output.kill_group()
            await wait_out(output.ended)
            transport.close()
        return output


class _Output(asyncio.SubprocessProtocol):
    """What a program prints, and its end: the exit of the program and of its whole group."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self.ended: asyncio.Future[None] = loop.create_future()
        self.printed, self.errors = _Capped(most), _Capped(most)
        self.exit: int | None = None
        self._transport: asyncio.SubprocessTransport | None = None
        self._group = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._group = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        (self.printed if fd == 1 else self.errors).add(data)

    def process_exited(self) -> None:
        # What the program left in the background would hold the pipes open.
        assert self._transport is not None
        self.exit = self._transport.get_returncode()
        self.kill_group()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def kill_group(self) -> None:
        """Kill the program and all that it started, when any of it is there."""
        if self._group and not self.ended.done():
            try:
                os.killpg(self._group, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass


class _Capped:
    """Bytes up to a bound; what comes later is counted only."""

    __slots__ = ("_data", "_dropped", "_most")

    def __init__(self, most: int) -> None:
        self._data = bytearray()
        self._most = most
        self._dropped = 0

    def add(self, data: bytes) -> None:
        room = self._most - len(self._data)
        self._data += data[:room]
        self._dropped += max(0, len(data) - room)

    def text(self) -> str:
        text = self._data.decode("utf-8", "replace")
        return f"{text}\n[{self._dropped} more bytes dropped]" if self._dropped else text


def _properties(
    tool: str, names: list[str], described: Mapping[str, str | Mapping[str, Json]]
) -> dict[str, Mapping[str, Json]]:
    """Return the schema of each parameter. Raises `UserError` for one that the command never uses."""
    unused = [name for name in described if name not in names]
    if unused:
        known = ", ".join(f"`{name}`" for name in names) or "none"
        raise UserError(f"tool `{tool}`: the command has no parameter `{unused[0]}`; it has {known}")
    properties: dict[str, Mapping[str, Json]] = {}
    for name in names:
        given = described.get(name, {})
        properties[name] = {"type": "string", **({"description": given} if isinstance(given, str) else given)}
    return properties


def _parse(tool: str, text: str) -> list[tuple[str, str | None]]:
    """Split a template into pieces of literal text and the parameter that follows each."""
    try:
        pieces = [(literal, name, spec, conv) for literal, name, spec, conv in Formatter().parse(text)]
    except ValueError as error:
        raise UserError(f"tool `{tool}`: `{text}`: {error}; write a brace as `{{{{`") from None
    for _, name, spec, conversion in pieces:
        if name is not None and (not name.isidentifier() or spec or conversion):
            raise UserError(f"tool `{tool}`: `{text}`: `{{{name}}}` must be a plain name")
    return [(literal, name) for literal, name, _, _ in pieces]


def _fill(parts: list[tuple[str, str | None]], arguments: Mapping[str, Json]) -> str:
    out: list[str] = []
    for literal, name in parts:
        out.append(literal)
        if name:
            value = arguments[name]
            out.append(value if isinstance(value, str) else _plain(value))
    return "".join(out)


def _plain(value: Json) -> str:
    """Return a value that is no text as a program reads it: `true`, `3`, `2.5`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
