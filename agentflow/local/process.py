"""The process that serves one local model: started when it is first asked, ended with its Runtime."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from pathlib import Path

from agentflow.errors import EndpointError, EndpointUnavailable, UserError
from agentflow.local.server import Order
from agentflow.local.slots import Slots
from agentflow.runtime.clock import current_clock

__all__ = ["ServedModel", "ServerProcess"]

_PROGRAM = Path(__file__).with_name("server.py")
_LOAD_S = 600.0


@dataclass(slots=True, frozen=True)
class ServedModel:
    """Where a model is served: base address and key; `tools`: its chat template takes tools."""

    base_url: str
    key: str
    tools: bool


class ServerProcess:
    """A server of the model in the file `path`.

    `slots` requests are answered at once, each with `context` tokens, by `threads`
    threads (0: as suits the machine). Whoever asks acquires one of `self.slots` first, so
    that nothing waits inside the server.
    """

    def __init__(self, name: str, path: Path, context: int, slots: int, threads: int = 0) -> None:
        self.slots = Slots(slots)
        self._name = name
        key = secrets.token_urlsafe(24)
        self._order = Order(path=str(path), context=context, slots=slots, threads=threads, key=key)
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._served: ServedModel | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return None if self._process is None else self._process.pid

    async def served(self) -> ServedModel:
        """Return where the model is served; start the server unless it runs.

        A load that is left goes on, and the next to ask waits for it. Raises `UserError`
        for a file that can't be loaded, `EndpointError` for a server that ends meanwhile.
        """
        clock = current_clock()
        async with self._starting:
            if self._process is not None and self._process.returncode is not None:
                await self._end()
            if self._served is None:
                try:
                    with clock.hold():
                        async with clock.guard(_LOAD_S):
                            self._served = await self._start()
                except TimeoutError:
                    await self._end()
                    raise EndpointUnavailable(f"{self._name}: not loaded within {_LOAD_S:g} s") from None
            return self._served

    async def aclose(self) -> None:
        """End the process."""
        await self._end()

    async def _start(self) -> ServedModel:
        process = self._process = self._process or await self._spawn()
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            how = _how(await process.wait())
            await self._end()
            raise EndpointError(f"{self._name}: the server {how} while it loaded {self._order['path']}")
        answer = json.loads(line)
        if "error" in answer:
            await self._end()
            raise UserError(
                f"{self._name}: {self._order['path']} can't be loaded: it is no GGUF model, is damaged, or "
                f"does not fit into memory ({answer['error']})"
            )
        return ServedModel(f"{answer['url']}/v1", self._order["key"], answer["tools"])

    async def _spawn(self) -> asyncio.subprocess.Process:
        try:
            # A session of its own: Ctrl-C is for the program that runs, and it decides.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                str(_PROGRAM),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise EndpointError(f"{self._name}: its server can't be started: {error.strerror}") from None
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._order).encode() + b"\n")
        return process

    async def _end(self) -> None:
        """Kill the process, if there is one, and wait until it and its pipes are gone."""
        process, self._process, self._served = self._process, None, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.kill()
        except ProcessLookupError:
            pass
        with current_clock().hold():
            await process.wait()
            await process.stdout.read()
            try:
                await process.stdin.wait_closed()
            except OSError:
                pass


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
