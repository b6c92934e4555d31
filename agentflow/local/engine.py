"""A language model in this process, token by token, behind the Endpoint seam.

A `TokenEngine` evaluates and samples. An `EngineModel` makes replies of it: a prompt that
begins as a cached text does is evaluated only from there on, so that something can be put
into a reply between two tokens and nothing is computed twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from agentflow.errors import ContextOverflow, UserError
from agentflow.local.sequences import CachedSequence, Sequences, Vocabulary
from agentflow.local.written import Written
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.messages import ChatRequest, Delta, Message, Reply, TextPiece, Usage

__all__ = ["EngineModel", "EngineStream", "Lender", "Sampling", "TokenEngine"]

# As llama.cpp has them, where settings say nothing.
_TEMPERATURE = 0.8
_TOP_P = 0.95


@dataclass(slots=True, frozen=True)
class Sampling:
    """How one token is chosen.

    At `temperature` 0 it is the likeliest. Else `draw`, in [0, 1), chooses among those that
    make up `top_p` of the probability. `allows` says which tokens may be written.
    """

    temperature: float
    top_p: float
    draw: float
    allows: Callable[[int], bool]


class TokenEngine(Vocabulary, Protocol):
    """A model whose cache is in our hands. Sequences are numbered from 0.

    A call that is cancelled has happened, or has not; who makes it then cuts the sequence
    back to what is known. Calls for several sequences may be under way at once, for one
    sequence they never are.
    """

    @property
    def name(self) -> str:
        """Its name in events."""

    @property
    def window(self) -> int:
        """Tokens that one sequence can hold."""

    @property
    def sequences(self) -> int:
        """How many sequences it has."""

    @property
    def batch(self) -> int:
        """Tokens that one `evaluate` takes at most."""

    @property
    def evaluated(self) -> int:
        """Tokens evaluated so far, in all."""

    async def load(self) -> None:
        """Make it ready; nothing happens when it is. Comes before every other call."""

    async def evaluate(self, sequence: int, tokens: Sequence[int]) -> None:
        """Add `tokens` to what `sequence` holds."""

    async def hold_to(self, sequence: int, grammar: str | None) -> None:
        """Hold what is sampled from now on to `grammar` (GBNF, from its `root`), or to none.

        Raises `UserError` for what is no GBNF.
        """

    async def sample(self, sequence: int, sampling: Sampling) -> int | None:
        """Return the token to follow what was last evaluated; None where the text ends."""

    async def forget(self, sequence: int, keep: int) -> None:
        """Cut `sequence` to its first `keep` tokens."""

    async def aclose(self) -> None:
        """Release everything. It may be loaded again."""


@runtime_checkable
class Lender(Protocol):
    """What an engine may do besides: begin a sequence as another one does, without evaluating it again."""

    async def lend(self, source: int, target: int, keep: int) -> None:
        """Let `target` hold the first `keep` tokens of `source`, and nothing else."""


class EngineModel:
    """A model whose replies go on with `ChatRequest.prompt`.

    `engine` is one, or makes one: then each Runtime that uses the model has its own, which
    ends with it. An engine that was given itself serves one Runtime at a time. `key` makes
    models share an engine within a Runtime. Without `capabilities` they are a text
    model's, with the engine's window, and with grammars where it says `grammar`. More
    conversations than the engine has sequences wait in order.
    """

    def __init__(
        self,
        engine: TokenEngine | Callable[[], TokenEngine],
        *,
        name: str | None = None,
        key: Hashable | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        self._engine = engine
        self._key: Hashable = ("engine", id(self) if key is None else key)
        self._taken = False
        self.name = name or str(getattr(engine, "name", "engine"))
        self.capabilities = capabilities or Capabilities(
            parallel_tool_calls=False,
            images=False,
            files=False,
            json_schema=False,
            strict_tools=False,
            grammar=bool(getattr(engine, "grammar", False)),
            context_window=getattr(engine, "window", None),
        )

    def open(self, request: ChatRequest, resources: Resources) -> EngineStream:
        """Return the stream of what follows the prompt. The first of `resources` loads the model.

        Raises `UserError` for a request without a prompt, or with what only a chat model takes.
        """
        if request.prompt is None:
            raise UserError(
                f"{self.name}: it goes on with a text and takes no messages: reach it by the carrier InFlight"
            )
        if request.output is not None or request.tools or request.settings.extra:
            what = (
                "extra settings" if request.settings.extra else "tools" if request.tools else "output schema"
            )
            raise UserError(f"{self.name}: it takes no {what}, only a prompt, banned texts and a grammar")
        return EngineStream(self.name, request, lambda: resources.get(self._key, self._open))

    def _open(self) -> _OpenEngine:
        engine = self._engine
        if isinstance(engine, type) or not hasattr(engine, "evaluate"):
            return _OpenEngine(cast("Callable[[], TokenEngine]", engine)(), lambda: None)
        if self._taken:
            raise UserError(f"{self.name}: its engine serves another Runtime: give a function that makes one")
        self._taken = True
        return _OpenEngine(cast("TokenEngine", engine), self._free)

    def _free(self) -> None:
        self._taken = False


class _OpenEngine:
    """An engine and its sequences, as long as a Runtime has them."""

    def __init__(self, engine: TokenEngine, closed: Callable[[], None]) -> None:
        self.engine = engine
        self.sequences = Sequences(engine.sequences, isinstance(engine, Lender))
        self._closed = closed

    async def aclose(self) -> None:
        try:
            await self.engine.aclose()
        finally:
            self._closed()


class EngineStream:
    """One reply of an engine. It waits for a sequence, and for the load, when it is first read."""

    def __init__(self, name: str, request: ChatRequest, opens: Callable[[], _OpenEngine]) -> None:
        self._name = name
        self._request = request
        self._open = opens
        self._opened: _OpenEngine | None = None
        self._sequence: CachedSequence | None = None
        settings = request.settings
        self._prompt = request.prompt or ""
        self._written = Written(self._prompt, request.banned, settings.stop or ())
        self._random = random.Random(settings.seed)
        self._usage = Usage(requests=1)
        self._told: list[str] = []
        self._finish = ""
        self._closing = False
        # Set unless the engine works for this reply.
        self._idle = asyncio.Event()
        self._idle.set()

    def __aiter__(self) -> EngineStream:
        """Return itself."""
        return self

    async def __anext__(self) -> Delta:
        """Return the next piece of text: that of one token, or of some that make a character.

        Raises `ContextOverflow` for a prompt that does not fit the window, `UserError` for
        a model that can't be loaded and for a wrong grammar.
        """
        if self._finish or self._closing:
            raise StopAsyncIteration
        try:
            begun = self._sequence is not None
            sequence = self._sequence or await self._acquire()
            with self._work(sequence):
                if not begun and not self._is_left():
                    await self._turn(sequence)
                text = await self._next_text(sequence)
        except BaseException:
            self._finish = "cut"
            self._release()
            raise
        if self._finish or self._is_left():
            self._release()
        if not text:
            raise StopAsyncIteration
        self._told.append(text)
        return TextPiece(text)

    @property
    def reply(self) -> Reply:
        """The reply, whole once the iteration has ended; what has come, when it was left (finish `cut`)."""
        message = Message("assistant", "".join(self._told))
        return Reply(message, self._usage, self._finish or "cut", self._name)

    @property
    def spent(self) -> Usage:
        """The tokens so far."""
        return self._usage

    async def aclose(self) -> None:
        """Leave the reply. What was written stays in the cache; a call of the engine is waited for."""
        self._closing = True
        await self._idle.wait()
        self._release()

    @property
    def _engine(self) -> TokenEngine:
        assert self._opened is not None
        return self._opened.engine

    async def _acquire(self) -> CachedSequence:
        self._opened = self._open()
        await self._engine.load()
        sequence = self._sequence = await self._opened.sequences.acquire(self._prompt)
        return sequence

    def _is_left(self) -> bool:
        return self._closing

    def _release(self) -> None:
        sequence, self._sequence = self._sequence, None
        if sequence is not None and self._opened is not None:
            self._opened.sequences.release(sequence)

    @contextmanager
    def _work(self, sequence: CachedSequence) -> Iterator[None]:
        self._idle.clear()
        try:
            yield
        except BaseException:
            sequence.doubtful = True
            raise
        finally:
            self._idle.set()

    async def _turn(self, sequence: CachedSequence) -> None:
        """Turn the sequence to the prompt: cut from its cache what the prompt does not go on with."""
        engine = self._engine
        if isinstance(engine, Lender):
            await self._borrow(engine, sequence)
        count = sequence.turn_to(self._prompt, engine, engine.window)
        if not count:
            raise UserError(f"{self._name}: the prompt is empty")
        if count >= engine.window:
            raise ContextOverflow(
                f"{self._name}: the prompt has {count} tokens and its window only {engine.window}, "
                "with what is to be written: shorten the conversation, or give it more context"
            )
        self._usage.input_tokens, self._usage.cached_tokens = count, sequence.evaluated
        if sequence.doubtful:
            await engine.forget(sequence.number, sequence.evaluated)
            sequence.doubtful = False
        await engine.hold_to(sequence.number, self._request.grammar)

    async def _borrow(self, engine: Lender, sequence: CachedSequence) -> None:
        """Begin as another conversation does, where that saves work."""
        assert self._opened is not None
        source, count = self._opened.sequences.lender(sequence, self._prompt)
        if source is not sequence:
            sequence.borrow(source, count)
            await engine.lend(source.number, sequence.number, count)
            sequence.evaluated, sequence.doubtful = count, False

    async def _next_text(self, sequence: CachedSequence) -> str:
        """Return what the next token writes, or some; nothing when the reply ends or is left."""
        engine, settings, written = self._engine, self._request.settings, self._written
        limit = engine.window if settings.max_tokens is None else settings.max_tokens
        while not self._closing:
            if self._usage.output_tokens >= limit or len(sequence.tokens) >= engine.window:
                self._finish = "length"
                return written.rest()
            await self._evaluate(sequence)
            if self._is_left():
                break
            token = await engine.sample(sequence.number, self._sampling())
            if token is None:
                self._finish = "stop"
                return written.rest()
            self._usage.output_tokens += 1
            text, whole = written.add(engine.piece(token))
            sequence.write(token, text, whole)
            told = written.tell(text)
            if written.stopped:
                self._finish = "stop"
            if told or self._finish:
                return told
        return ""

    async def _evaluate(self, sequence: CachedSequence) -> None:
        """Evaluate what waits for it. What is under way when the reply is left is not lost."""
        engine = self._engine
        while (left := len(sequence.tokens) - sequence.evaluated) and not self._closing:
            begin, size = sequence.evaluated, min(left, engine.batch)
            tokens = sequence.tokens[begin : begin + size]
            work = asyncio.ensure_future(engine.evaluate(sequence.number, tokens))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                with suppress(Exception):
                    await work
                    sequence.evaluated += size
                raise
            sequence.evaluated += size

    def _sampling(self) -> Sampling:
        settings, written, engine = self._request.settings, self._written, self._engine
        return Sampling(
            temperature=_TEMPERATURE if settings.temperature is None else settings.temperature,
            top_p=_TOP_P if settings.top_p is None else settings.top_p,
            draw=self._random.random(),
            allows=lambda token: written.allows(engine.piece(token)),
        )
