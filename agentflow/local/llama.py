"""llama.cpp in this process as a token engine, and the models `in-flight:NAME`."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from agentflow.errors import LocalProtocolError, UserError, missing_extra
from agentflow.local.engine import EngineModel, Sampling
from agentflow.local.native import NativeModel
from agentflow.local.server import compute_threads
from agentflow.local.store import path_of

__all__ = ["LlamaEngine", "open_in_flight"]

T = TypeVar("T")

# Tokens that are evaluated in one go, between two moments at which a prompt may be left. It must
# stay below 32: with more, the library multiplies some quantised weights in another way, whose
# results are wrong on processors without AVX-VNNI. More would not be faster.
_BATCH = 16


@dataclass(slots=True)
class _Part:
    """Tokens that wait to be evaluated."""

    sequence: int
    tokens: Sequence[int]
    done: asyncio.Future[None]


class LlamaEngine:
    """The GGUF model in the file `path`, in one thread of this process.

    It has `sequences` of `context` tokens each. `threads` compute: by default so many that
    the program keeps a core. Everything that takes time is done in a thread of its own, so
    that the event loop goes on; a virtual clock stands still meanwhile.
    """

    grammar = True
    """It can hold what it writes to a grammar."""

    def __init__(
        self,
        path: str | Path,
        *,
        context: int = 4096,
        sequences: int = 4,
        threads: int | None = None,
        name: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = name or f"in-flight:{path}"
        for what, value in (("context", context), ("sequences", sequences), ("threads", threads)):
            if value is not None and value < 1:
                raise UserError(f"{self.name}: {what} must be at least 1, not {value}")
        if importlib.util.find_spec("ik_llama_cpp") is None:
            raise missing_extra("ik-llama-cpp-python", "inflight")
        self.window = context
        self.sequences = sequences
        self.batch = min(_BATCH, context)
        self.evaluated = 0
        self._threads = threads or compute_threads()
        self._worker: ThreadPoolExecutor | None = None
        self._loading: asyncio.Future[None] | None = None
        self._waiting: list[_Part] = []
        self._evaluating = False
        # Made, used and freed in the worker's thread; only what does not change is read here.
        self._native: NativeModel | None = None

    async def load(self) -> None:
        """Load the model, unless it is. A load that is left goes on. Raises `UserError`."""
        if self._loading is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="llama")
            self._loading = self._in_thread(self._load)
            self._loading.add_done_callback(_retrieve)
        try:
            await asyncio.shield(self._loading)
        except Exception:
            await self.aclose()
            raise

    def tokenize(self, text: str, start: bool) -> list[int]:
        """Return the tokens of `text`; a text that begins a sequence may get a token before it."""
        return self._loaded.tokenize(text, start)

    def piece(self, token: int) -> bytes:
        """Return the UTF-8 bytes that `token` writes."""
        return self._loaded.piece(token)

    async def evaluate(self, sequence: int, tokens: Sequence[int]) -> None:
        """Add `tokens` to `sequence`. Raises `EndpointError` when llama.cpp fails."""
        part = _Part(sequence, tokens, asyncio.get_running_loop().create_future())
        self._waiting.append(part)
        if not self._evaluating:
            self._evaluate_next()
        await part.done
        self.evaluated += len(tokens)

    async def hold_to(self, sequence: int, grammar: str | None) -> None:
        """Hold what is sampled from now on to `grammar`. Raises `UserError` for no valid GBNF."""
        await self._in_thread(self._loaded.hold_to, sequence, grammar)

    async def sample(self, sequence: int, sampling: Sampling) -> int | None:
        """Return the next token of `sequence`; None where the text ends, or nothing is allowed."""
        return await self._in_thread(self._loaded.sample, sequence, sampling)

    async def forget(self, sequence: int, keep: int) -> None:
        """Cut `sequence` to its first `keep` tokens."""
        await self._in_thread(self._loaded.forget, sequence, keep)

    async def lend(self, source: int, target: int, keep: int) -> None:
        """Let `target` hold the first `keep` tokens of `source`, and nothing else."""
        await self._in_thread(self._loaded.lend, source, target, keep)

    async def aclose(self) -> None:
        """Free the model, and end the thread. What it computes is waited for."""
        worker, self._worker, self._loading = self._worker, None, None
        for part in self._waiting:
            part.done.cancel()
        if worker is not None:
            try:
                await asyncio.get_running_loop().run_in_executor(worker, self._unload)
            finally:
                worker.shutdown()

    @property
    def _loaded(self) -> NativeModel:
        if self._native is None:
            raise LocalProtocolError(f"{self.name}: it is not loaded, or was closed")
        return self._native

    def _in_thread(self, work: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Let the thread work. The loop's clock is held until it is done, whether or not it is waited for."""
        if self._worker is None:
            raise LocalProtocolError(f"{self.name}: it is not loaded, or was closed")
        return asyncio.get_running_loop().run_in_executor(self._worker, work, *args)

    def _evaluate_next(self) -> None:
        """Evaluate together what has come meanwhile: several sequences take little longer than one."""
        parts: list[_Part] = []
        left: list[_Part] = []
        room = self.batch
        for part in self._waiting:
            if part.done.done():
                continue
            fits = len(part.tokens) <= room
            room -= len(part.tokens) if fits else 0
            (parts if fits else left).append(part)
        self._waiting = left
        if parts:
            self._evaluating = True
            work = [(part.sequence, part.tokens) for part in parts]
            self._in_thread(self._loaded.evaluate, work).add_done_callback(
                partial(self._was_evaluated, parts)
            )

    def _was_evaluated(self, parts: Sequence[_Part], work: asyncio.Future[None]) -> None:
        self._evaluating = False
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        for part in parts:
            if not part.done.done():
                part.done.set_result(None) if error is None else part.done.set_exception(error)
        if self._native is not None and self._worker is not None:
            self._evaluate_next()

    def _load(self) -> None:
        self._native = NativeModel(self.path, self.window, self.sequences, self.batch, self._threads)

    def _unload(self) -> None:
        native, self._native = self._native, None
        if native is not None:
            native.close()


def open_in_flight(name: str) -> EngineModel:
    """Return the model `in-flight:NAME`: one that was fetched, or the path of a GGUF file.

    Each Runtime that uses it loads it when it is first asked. Raises `UserError` when it
    can't be had on this machine.
    """
    full = f"in-flight:{name}"
    path = Path(name).expanduser().absolute() if name.endswith(".gguf") else path_of(name)
    if not path.is_file():
        raise UserError(f"{full}: there is no file {path}")
    make = partial(LlamaEngine, path, name=full)
    return EngineModel(make, name=full, key=("llama", path), capabilities=EngineModel(make()).capabilities)


def _retrieve(loading: asyncio.Future[None]) -> None:
    if not loading.cancelled():
        loading.exception()
