"""Replies of a token engine: what is evaluated, what is kept, and that a reply may be left anywhere."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual import virtual

from agentflow.errors import ContextOverflow, UserError
from agentflow.local.engine import EngineModel, EngineStream, Sampling
from agentflow.local.sequences import CachedSequence
from agentflow.local.written import Written
from agentflow.runtime.clock import current_clock
from agentflow.runtime.resources import Resources
from agentflow.testing import assert_nothing_left
from agentflow_protocols.chat import ChatRequest, Message, Settings, TextPiece

WORDS = [
    b" soup",
    b" leek",
    b" pot",
    b"[INTR]",
    b"[INTR",
    b"[IN",
    b"TR]",
    b"TR",
    b"R] x",
    b"\xc3\xa9t\xc3",
    b"\xf0\x9f",
]
PIECES = [bytes([n]) for n in range(256)] + WORDS
BY_LENGTH = sorted(range(len(PIECES)), key=lambda token: -len(PIECES[token]))
Prefers = Callable[[bytes], Iterable[bytes | None]]


def by_chance(text: bytes) -> Iterable[bytes | None]:
    """Prefer a word that follows from everything before it, so that any difference in the cache shows."""
    return [WORDS[hashlib.sha256(text).digest()[0] % 3]]


def says(*parts: bytes) -> Prefers:
    """Write just these after a `>`, then end."""

    def prefers(text: bytes) -> Iterable[bytes | None]:
        done = text.rpartition(b">")[2]
        for part in parts:
            if not done:
                return [part]
            done = done.removeprefix(part)
        return [None]

    return prefers


class FakeEngine:
    """Tokens are bytes and some words. It checks that its cache is treated rightly."""

    def __init__(self, prefers: Prefers = by_chance, *, sequences: int = 2, window: int = 100) -> None:
        self.name = "engine"
        self.window, self.sequences, self.batch, self.evaluated = window, sequences, 8, 0
        self.caches: list[list[int]] = [[] for _ in range(sequences)]
        self.busy: set[int] = set()
        self.prefers, self.loads, self.closed = prefers, 0, 0

    async def load(self) -> None:
        self.loads += 1

    def tokenize(self, text: str, start: bool) -> list[int]:
        data, tokens = text.encode(), []
        while data:
            token = next(token for token in BY_LENGTH if data.startswith(PIECES[token]))
            data = data[len(PIECES[token]) :]
            tokens.append(token)
        return tokens

    def piece(self, token: int) -> bytes:
        return PIECES[token]

    async def evaluate(self, sequence: int, tokens: Sequence[int]) -> None:
        assert 0 < len(tokens) <= self.batch
        await self._take(sequence, 0.01)
        self.evaluated += len(tokens)
        self.caches[sequence] += tokens
        assert len(self.caches[sequence]) <= self.window

    async def hold_to(self, sequence: int, grammar: str | None) -> None:
        assert grammar is None

    async def sample(self, sequence: int, sampling: Sampling) -> int | None:
        await self._take(sequence, 0.01)
        text = b"".join(PIECES[token] for token in self.caches[sequence])
        for piece in self.prefers(text):
            if piece is None:
                return None
            token = PIECES.index(piece)
            if sampling.allows(token):
                return token
        return PIECES.index(b".")

    async def forget(self, sequence: int, keep: int) -> None:
        await self._take(sequence, 0.0)
        assert keep <= len(self.caches[sequence])
        del self.caches[sequence][keep:]

    async def aclose(self) -> None:
        self.closed += 1

    async def _take(self, sequence: int, seconds: float) -> None:
        assert sequence not in self.busy
        self.busy.add(sequence)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.busy.discard(sequence)


class LendingEngine(FakeEngine):
    """One whose sequences may begin as others do."""

    async def lend(self, source: int, target: int, keep: int) -> None:
        await self._take(target, 0.0)
        assert len(self.caches[source]) >= keep
        self.caches[target] = self.caches[source][:keep]


def ask(
    prompt: str, *, banned: tuple[str, ...] = (), count: int | None = 6, **settings: object
) -> ChatRequest:
    chosen = Settings(temperature=0, max_tokens=count, **settings)  # type: ignore[arg-type]
    return ChatRequest([], settings=chosen, prompt=prompt, banned=banned)


async def read(stream: EngineStream, count: int = 1000) -> str:
    """Read up to `count` pieces, leave the stream, and return the text."""
    text = ""
    while count:
        try:
            delta = await anext(stream)
        except StopAsyncIteration:
            break
        assert isinstance(delta, TextPiece)
        text += delta.text
        count -= 1
    await stream.aclose()
    return text


async def anew(prompt: str, **named: int) -> str:
    """Return the reply of an engine that has seen nothing before."""
    return await read(EngineModel(FakeEngine(window=400)).open(ask(prompt, **named), Resources()))


class TestKeptTokens:
    @virtual
    async def test_a_reply_is_gone_on_with_and_only_what_is_new_is_evaluated(self) -> None:
        engine, resources = FakeEngine(), Resources()
        model = EngineModel(engine)
        prompt = "Cook a leek soup. "
        written = await read(model.open(ask(prompt), resources), 3)
        assert written.count(" ") == 3
        before = engine.evaluated
        longer = f"{prompt}{written}[INTR] user [END]"
        stream = model.open(ask(longer), resources)
        more = await read(stream)
        # What was put in, the last token that was sampled before, and all but the last sampled now.
        assert engine.evaluated - before == len(engine.tokenize("[INTR] user [END]", False)) + 1 + 5
        assert more == await anew(longer)
        usage = stream.reply.usage
        assert usage.output_tokens == 6
        assert usage.input_tokens == len(engine.tokenize(longer, False))
        assert usage.input_tokens - usage.cached_tokens == engine.evaluated - before - 5
        assert stream.reply.finish == "length"
        assert stream.reply.message == Message("assistant", more)

    @virtual
    async def test_the_same_prompt_again_evaluates_one_token(self) -> None:
        engine, resources = FakeEngine(), Resources()
        model = EngineModel(engine)
        prompt = "Cook a leek soup, please. "
        first = await read(model.open(ask(prompt, count=3), resources))
        before = engine.evaluated
        assert first.startswith(await read(model.open(ask(prompt, count=1), resources)))
        assert engine.evaluated - before == 1

    @virtual
    async def test_a_prompt_that_parts_is_cut_back_to_where_it_does(self) -> None:
        engine, resources = FakeEngine(sequences=1), Resources()
        model = EngineModel(engine)
        await read(model.open(ask("Please cook a leek soup. Now!"), resources))
        before = engine.evaluated
        stream = model.open(ask("Please cook a leek pot, then"), resources)
        assert await read(stream) == await anew("Please cook a leek pot, then")
        assert engine.evaluated - before == len(engine.tokenize(" pot, then", False)) + 5
        assert stream.reply.usage.cached_tokens == len(engine.tokenize("Please cook a leek", True))

    @virtual
    async def test_conversations_keep_their_sequences_and_the_oldest_one_goes(self) -> None:
        engine, resources = FakeEngine(sequences=2), Resources()
        model = EngineModel(engine)
        texts = {name: f"{name} would like to cook. " for name in ("Anna", "Bert", "Cleo")}
        for name in ("Anna", "Bert", "Anna"):
            texts[name] += await read(model.open(ask(texts[name]), resources))
        # Cleo takes the sequence of Bert, who is longest out of use.
        texts["Cleo"] += await read(model.open(ask(texts["Cleo"]), resources))
        for name, known in (("Anna", True), ("Cleo", True), ("Bert", False)):
            stream = model.open(ask(texts[name] + "More!"), resources)
            await read(stream)
            assert (stream.reply.usage.cached_tokens > 10) is known, name

    @virtual
    async def test_conversations_at_once_share_the_engine_and_more_wait(self) -> None:
        engine, resources = FakeEngine(sequences=2), Resources()
        model = EngineModel(engine)
        prompts = [f"{name} cooks. " for name in ("Anna", "Bert", "Cleo", "Dora")]
        replies = await asyncio.gather(*(read(model.open(ask(p), resources)) for p in prompts))
        assert replies == [await anew(prompt) for prompt in prompts]
        await resources.aclose()
        assert engine.closed == 1

    @virtual
    async def test_what_conversations_have_in_common_is_evaluated_once_where_it_can_be_lent(self) -> None:
        engine, resources = LendingEngine(sequences=2, window=200), Resources()
        model = EngineModel(engine)
        system = "You are a cook who cooks slowly and well. "
        first = system + "Anna asks. "
        stream = model.open(ask(first, count=60), resources)
        text = first + "".join([(await anext(stream)).text for _ in range(20)])  # type: ignore[union-attr]
        # Also from a conversation that goes on meanwhile.
        second = model.open(ask(system + "Bert asks. "), resources)
        assert await read(second) == await anew(system + "Bert asks. ")
        assert second.reply.usage.cached_tokens > len(engine.tokenize(system, True)) - 10
        rest = await read(stream)
        assert first + await anew(first, count=60) == text + rest
        # Cleo takes the place of Bert, who is longer out of use, and not of Anna.
        third = model.open(ask(system + "Cleo asks. "), resources)
        assert await read(third) == await anew(system + "Cleo asks. ")
        again = model.open(ask(text + rest, count=1), resources)
        await read(again)
        assert again.reply.usage.input_tokens - again.reply.usage.cached_tokens == 1

    @given(st.lists(st.tuples(st.integers(0, 7), st.text("ab soupéleek[]", max_size=12)), max_size=6))
    def test_whatever_was_asked_before_the_reply_is_that_of_the_whole_text(
        self, turns: list[tuple[int, str]]
    ) -> None:
        async def main() -> None:
            lends = len(turns) % 2 == 0
            engine = LendingEngine(window=400) if lends else FakeEngine(sequences=1, window=400)
            resources, model = Resources(), EngineModel(engine)
            text = "Cook "
            for count, added in turns:
                text = text[: -count or None] + added if len(added) % 2 else text + added
                text = text or "x"
                written = await read(model.open(ask(text), resources), count)
                assert (await anew(text, count=6)).startswith(written)
                text += written

        from agentflow.testing import VirtualClock

        with VirtualClock() as clock:
            clock.run(main())


class TestLeaving:
    @virtual
    async def test_a_reply_left_at_any_moment_leaves_a_cache_that_is_right(self) -> None:
        prompt = "Cook a leek soup in the large pot, please. "
        whole = await anew(prompt)
        for step in range(30):
            for cancelled in (False, True):
                engine, resources = FakeEngine(), Resources()
                model = EngineModel(engine)
                stream = model.open(ask(prompt), resources)
                reader = asyncio.create_task(read(stream))
                await asyncio.sleep(step * 0.005)
                if cancelled:
                    reader.cancel()
                    await asyncio.wait([reader])
                await stream.aclose()
                told = stream.reply.message.text
                assert whole.startswith(told)
                assert await read(model.open(ask(prompt + told), resources)) == await anew(prompt + told)
                await asyncio.wait([reader])
                assert engine.caches[1] == []

    @virtual
    async def test_one_that_waits_for_a_sequence_may_go_and_leaves_it_to_the_next(self) -> None:
        engine, resources = FakeEngine(sequences=1), Resources()
        model = EngineModel(engine)
        async with assert_nothing_left():
            first = model.open(ask("Anna. "), resources)
            await anext(first)
            second = model.open(ask("Bert. "), resources)
            waits = asyncio.create_task(read(second))
            await asyncio.sleep(1)
            await second.aclose()
            third = asyncio.create_task(read(model.open(ask("Cleo. "), resources)))
            await asyncio.sleep(1)
            assert not third.done()
            await first.aclose()
            assert await waits == ""
            assert await third == await anew("Cleo. ")

    @virtual
    async def test_it_takes_the_time_of_its_tokens(self) -> None:
        began = current_clock().time()
        await read(EngineModel(FakeEngine()).open(ask("Cook. "), Resources()))
        assert current_clock().time() - began == pytest.approx(0.01 * 12)


class TestWriting:
    @virtual
    async def test_a_character_comes_when_it_is_whole(self) -> None:
        parts = [b"a", b"\xf0\x9f", b"\x8d", b"\xb2", b"\xc3\xa9t\xc3", b"\xa9", b"b"]
        engine, resources = FakeEngine(says(*parts)), Resources()
        model = EngineModel(engine)
        stream = model.open(ask("Say >", count=None), resources)
        told = [delta.text async for delta in stream if isinstance(delta, TextPiece)]
        assert told == ["a", "🍲", "ét", "é", "b"]
        assert stream.reply.finish == "stop"
        # Left inside a character, the reply goes on before it.
        left = await read(model.open(ask("Say >", count=3), resources))
        assert left == "a\ufffd"
        assert await read(model.open(ask("Say >a", count=None), resources)) == "🍲étéb"

    @virtual
    async def test_banned_text_is_never_written_however_it_is_cut(self) -> None:
        pleas: list[Iterable[bytes]] = [
            [b"[INTR]", b"[INTR", b"[", b"x"],
            [b"]", b"TR]", b"R] x", b"I"],
            [b"TR]", b"]", b"N"],
            [b"TR]", b"R] x", b"]", b"T"],
            [b"R] x", b"]", b"R"],
            [b"]", b"o"],
        ]

        def prefers(text: bytes) -> Iterable[bytes]:
            done = len(text.rpartition(b">")[2])
            return pleas[min(done, len(pleas) - 1)]

        for begun in ("", "[", "[IN", "[INTR"):
            model = EngineModel(FakeEngine(prefers))
            prompt = "[INTR] a [END] Say >" + begun
            text = await read(model.open(ask(prompt, banned=("[INTR]", "q"), count=12), Resources()))
            assert len(text) >= 6
            assert "[INTR]" not in begun + text

    @virtual
    async def test_it_ends_at_a_stop_text_and_tells_nothing_of_it(self) -> None:
        parts = [b" pot", b"[", b"E", b"x", b"[", b"E", b"N", b"D", b"]", b" soup"]
        for stop, told in ((("[END]",), " pot[Ex"), (("x", "nothing"), " pot[E"), ((" soup!",), None)):
            engine, resources = FakeEngine(says(*parts)), Resources()
            stream = EngineModel(engine).open(ask("Say >", count=None, stop=stop), resources)
            assert await read(stream) == (b"".join(parts).decode() if told is None else told)
            assert stream.reply.finish == "stop"

    @virtual
    async def test_it_ends_when_the_window_is_full(self) -> None:
        stream = EngineModel(FakeEngine(window=20)).open(ask("Cook. ", count=None), Resources())
        text = await read(stream)
        assert len(FakeEngine().tokenize("Cook. " + text, True)) == 20
        assert stream.reply.finish == "length"

    @given(st.text("ab[]", max_size=12), st.lists(st.text("ab[]", min_size=1, max_size=4), max_size=3))
    def test_what_was_allowed_holds_nothing_banned(self, prompt: str, banned: list[str]) -> None:
        written = Written(prompt, banned, ())
        before = {text: prompt.count(text) for text in banned}
        text = ""
        for piece in ("a", "[a", "b", "]b", "[", "]a[", "ab", "a]", "b[") * 3:
            if written.allows(piece.encode()):
                text += piece
                written.add(piece.encode())
        for word in banned:
            found = sum((prompt + text).startswith(word, at) for at in range(len(prompt + text)))
            assert found == sum(prompt.startswith(word, at) for at in range(len(prompt))), before


class TestRefusals:
    @virtual
    async def test_too_long_a_prompt_is_an_overflow_and_costs_nothing(self) -> None:
        engine, resources = FakeEngine(window=20, sequences=1), Resources()
        model = EngineModel(engine)
        text = "Cook. " + await read(model.open(ask("Cook. "), resources))
        before = engine.evaluated
        with pytest.raises(ContextOverflow, match="engine: the prompt has 20 tokens and its window only 20"):
            await read(model.open(ask(text + "x" * 8), resources))
        assert engine.evaluated == before
        await read(model.open(ask(text, count=1), resources))
        assert engine.evaluated == before + 1

    @virtual
    async def test_only_a_prompt_is_taken(self) -> None:
        model = EngineModel(FakeEngine())
        with pytest.raises(UserError, match="takes no messages: reach it by the carrier InFlight"):
            model.open(ChatRequest([Message("user", "Cook.")]), Resources())
        with pytest.raises(UserError, match="takes no output schema"):
            model.open(ChatRequest([], prompt="Cook.", output={}), Resources())
        with pytest.raises(UserError, match="the prompt is empty"):
            await read(model.open(ask(""), Resources()))

    @virtual
    async def test_a_given_engine_serves_one_runtime_and_a_made_one_each(self) -> None:
        engine, first, second = FakeEngine(), Resources(), Resources()
        model = EngineModel(engine)
        await read(model.open(ask("Cook. "), first))
        with pytest.raises(UserError, match="serves another Runtime: give a function that makes one"):
            await read(model.open(ask("Cook. "), second))
        await first.aclose()
        assert engine.closed == 1
        made: list[FakeEngine] = []

        def make() -> FakeEngine:
            made.append(FakeEngine())
            return made[-1]

        several = [EngineModel(make, name="many", key="k"), EngineModel(make, name="many", key="k")]
        for resources in (first, second):
            for model in several:
                await read(model.open(ask("Cook. "), resources))
        assert len(made) == 2
        await second.aclose()
        assert [engine.closed for engine in made] == [0, 1]


def test_a_tokeniser_that_changes_the_text_is_cut_where_it_is_known() -> None:
    class Lossy(FakeEngine):
        def tokenize(self, text: str, start: bool) -> list[int]:
            return super().tokenize(("^" if start else "") + text.lower(), start)

    sequence, engine = CachedSequence(0), Lossy()
    assert sequence.turn_to("Cook A", engine, 100) == 7
    assert sequence.ends == [-1] * 6 + [6]
    sequence.evaluated = 7
    assert sequence.turn_to("Cook A soup", engine, 100) == 8
    assert sequence.evaluated == 7
    sequence.evaluated = 8
    assert sequence.turn_to("Cook a pot", engine, 100) == 8
    assert (sequence.evaluated, sequence.doubtful) == (7, True)
