"""Real tokens in this process: SmolLM2 by llama.cpp. Skipped where either is missing."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sys
import time
from pathlib import Path

import pytest
from virtual import virtual

from agentflow import Agent, Endpoint, Runtime, Settings, TextDelta, UserError, tool
from agentflow.errors import ContextOverflow
from agentflow.local import store
from agentflow.local.engine import EngineModel, EngineStream
from agentflow.local.llama import LlamaEngine, open_in_flight
from agentflow.runtime.clock import current_clock
from agentflow.runtime.resources import Resources
from agentflow.testing import assert_nothing_left
from agentflow_protocols.chat import ChatRequest, TextPiece

NAME = "smollm2-135m"
PLEA = "<|im_start|>user\nSay [INTR] again and again.<|im_end|>\n<|im_start|>assistant\n[INTR] [INTR] [INTR] "
SOUP = "<|im_start|>user\nWrite a story about a soup.<|im_end|>\n<|im_start|>assistant\n"

needs_engine = pytest.mark.skipif(
    importlib.util.find_spec("ik_llama_cpp") is None,
    reason="ik-llama-cpp-python is not installed: pip install 'agentflow-async[inflight]'",
)
needs_model = pytest.mark.skipif(
    NAME not in {model.name for model in store.installed()},
    reason=f"the model is not here: agentflow models pull {NAME}",
)


def engine(context: int = 512, sequences: int = 2, threads: int | None = None) -> LlamaEngine:
    return LlamaEngine(store.path_of(NAME), context=context, sequences=sequences, threads=threads)


def ask(
    prompt: str, count: int = 12, *, banned: tuple[str, ...] = (), grammar: str | None = None
) -> ChatRequest:
    settings = Settings(temperature=0, max_tokens=count)
    return ChatRequest([], settings=settings, prompt=prompt, banned=banned, grammar=grammar)


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


async def anew(prompt: str, count: int = 12) -> str:
    """Return the reply of an engine that has seen nothing before."""
    resources = Resources()
    try:
        return await read(EngineModel(engine()).open(ask(prompt, count), resources))
    finally:
        await resources.aclose()


def threads() -> int:
    """Return the threads of this process, native ones included."""
    return len(os.listdir("/proc/self/task"))


def resident() -> float:
    """Return the MB of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@needs_engine
@needs_model
class TestRealTokens:
    async def test_what_is_put_into_a_reply_is_all_that_is_evaluated(self) -> None:
        llama, resources = engine(), Resources()
        model = EngineModel(llama)
        async with assert_nothing_left():
            written = await read(model.open(ask(SOUP, 40), resources), 10)
            added = '\n[INTR] c1 [HEAD] {"pot": 7} [END]\n'
            tokens = len(llama.tokenize(added, False))
            before = llama.evaluated
            stream = model.open(ask(SOUP + written + added), resources)
            first = await anext(stream)
            assert isinstance(first, TextPiece)
            assert llama.evaluated - before == tokens + 1
            text = first.text + await read(stream)
            assert stream.reply.usage.input_tokens - stream.reply.usage.cached_tokens == tokens + 1
            await resources.aclose()
            assert text == await anew(SOUP + written + added)

    async def test_a_reply_left_while_a_token_is_computed_goes_on_as_if_it_was_not(self) -> None:
        llama, resources = engine(), Resources()
        model = EngineModel(llama)
        whole = await anew(SOUP, 20)
        text = ""
        async with assert_nothing_left():
            for left in range(4):
                stream = model.open(ask(SOUP + text, 20), resources)
                for _ in range(left):
                    await anext(stream)
                step = asyncio.create_task(read(stream))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                if left % 2:
                    step.cancel()
                    await asyncio.wait([step])
                await stream.aclose()
                await asyncio.wait([step])
                text += stream.reply.message.text
            assert whole.startswith(text)
            assert text + await read(model.open(ask(SOUP + text, 14), resources)) == await anew(SOUP, 20)
            await resources.aclose()

    async def test_banned_text_is_not_written_even_when_it_is_pleaded_for(self) -> None:
        resources = Resources()
        model = EngineModel(engine())
        assert "[INTR]" in await read(model.open(ask(PLEA, 16), resources))
        for begun in ("", "[", "[IN", "[INTR"):
            text = await read(model.open(ask(PLEA + begun, 16, banned=("[INTR]",)), resources))
            assert len(text) > 10
            assert "[INTR]" not in begun + text
        await resources.aclose()

    async def test_conversations_at_once_do_not_see_one_another(self) -> None:
        prompts = ["1, 2, 3, 4, 5, 6, 7,", "21, 22, 23, 24, 25, 26,", "101, 102, 103, 104, 105,"]
        expected = [" 8, 9, 10", " 27, 28", " 106"]
        resources = Resources()
        model = EngineModel(engine(sequences=2))
        async with assert_nothing_left():
            replies = await asyncio.gather(*(read(model.open(ask(p, 9), resources)) for p in prompts))
            await resources.aclose()
        for reply, begin in zip(replies, expected, strict=True):
            assert reply.startswith(begin)

    async def test_a_common_beginning_is_evaluated_once(self) -> None:
        llama, resources = engine(), Resources()
        model = EngineModel(llama)
        system = "".join(f"{n}, " for n in range(40))
        first = model.open(ask(system + "40, 41, 42,", 9), resources)
        await anext(first)
        before = llama.evaluated
        second = model.open(ask(system + "and then 40, 41, 42, 43, 44,", 9), resources)
        assert (await read(second)).startswith(" 45, 46")
        assert llama.evaluated - before < 40
        assert "43, 44" in await read(first)
        await resources.aclose()

    async def test_a_grammar_holds_and_a_wrong_one_is_named(self) -> None:
        resources = Resources()
        model = EngineModel(engine(sequences=1))
        grammar = 'root ::= "The answer is " [0-9] [0-9] "," [a-z ]{5,8} "."'
        for _ in range(2):
            text = await read(model.open(ask(SOUP, 60, grammar=grammar), resources))
            assert re.fullmatch(r"The answer is \d\d,[a-z ]{5,8}\.", text)
        for wrong in ("", "root", "root ::= (", "root ::= other", "else ::= [a-z]"):
            with pytest.raises(UserError, match="the grammar is no valid GBNF with a rule `root`"):
                await read(model.open(ask(SOUP, grammar=wrong), resources))
        assert await read(model.open(ask(SOUP), resources)) == await anew(SOUP)
        await resources.aclose()

    async def test_a_seed_repeats_what_is_drawn(self) -> None:
        resources = Resources()
        model = EngineModel(engine(sequences=1))

        async def drawn(seed: int) -> str:
            settings = Settings(temperature=1, seed=seed, max_tokens=12)
            return await read(model.open(ChatRequest([], prompt=SOUP, settings=settings), resources))

        texts = [await drawn(seed) for seed in (1, 2, 3, 1)]
        assert texts[0] == texts[3]
        assert len(set(texts)) > 1
        await resources.aclose()

    async def test_the_window_holds_so_much(self) -> None:
        resources = Resources()
        model = EngineModel(engine(context=48, sequences=2))
        with pytest.raises(ContextOverflow, match="the prompt has 60 tokens and its window only 48"):
            await read(model.open(ask("soup " * 59), resources))
        # Both sequences to the last token, again and again: the cache is cut, filled and moved.
        for _ in range(2):
            streams = [model.open(ask(f"{name}: " + "soup " * 30, 99), resources) for name in ("A", "B")]
            await asyncio.gather(*(read(stream) for stream in streams))
            assert [stream.reply.finish for stream in streams] == ["length", "length"]
        await resources.aclose()

    async def test_an_endpoint_reaches_it_by_its_name(self) -> None:
        async with assert_nothing_left():
            endpoint, resources = Endpoint(f"in-flight:{NAME}"), Resources()
            async with endpoint.stream(ask("1, 2, 3, 4, 5, 6, 7,", 6), resources=resources) as stream:
                pieces = [delta.text async for delta in stream if isinstance(delta, TextPiece)]
            assert "".join(pieces).startswith(" 8, 9")
            assert stream.reply.usage.input_tokens > 6
            assert endpoint.target.capabilities.context_window == 4096
            again = open_in_flight(str(store.path_of(NAME)))
            assert await read(again.open(ask("1, 2, 3, 4, 5, 6, 7,", 6), resources)) == "".join(pieces)
            await resources.aclose()

    async def test_an_agent_takes_an_interrupt_between_two_tokens(self) -> None:
        @tool
        async def boil(pot: str) -> str:
            """Boil the water in a pot."""
            return pot

        async with assert_nothing_left():
            model = Endpoint(f"in-flight:{NAME}", settings=Settings(temperature=0, max_tokens=12))
            async with Runtime() as runtime:
                async with runtime.start(Agent(model, tools=[boil]), "Tell about a soup.") as run:
                    written = 0
                    async for event in run:
                        written += isinstance(event, TextDelta)
                        if written == 4 and isinstance(event, TextDelta):
                            await run.interrupt("Only one pot, please.", priority="now")
                    result = await run.result()
            assert [message.text for message in result.messages if message.interrupt] == [
                "[INTR] user [HEAD] Only one pot, please. [END]"
            ]
            # All that was read and written before the interrupt was still there after it.
            read_anew = result.usage.input_tokens - result.usage.cached_tokens
            assert result.usage.requests == 2
            assert read_anew < result.usage.input_tokens / 2 + 20


@needs_engine
@needs_model
class TestTheProcess:
    async def test_the_loop_goes_on_while_the_model_loads_and_works(self) -> None:
        gaps = [await self._longest_gap() for _ in range(3)]
        assert min(gaps) < 0.05

    async def _longest_gap(self) -> float:
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            last = time.monotonic()
            while True:
                await asyncio.sleep(0.001)
                now = time.monotonic()
                longest, last = max(longest, now - last), now

        watcher, resources = asyncio.create_task(watch()), Resources()
        await read(EngineModel(engine()).open(ask("A soup of leek. " * 20, 3), resources))
        await resources.aclose()
        watcher.cancel()
        await asyncio.wait([watcher])
        return longest

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_nothing_outlives_it_and_it_may_be_loaded_again(self) -> None:
        async def main() -> None:
            resources = Resources()
            await read(EngineModel(engine(threads=2)).open(ask(SOUP, 3), resources))
            assert resident() > first + 60
            await resources.aclose()

        before, first, sizes = threads(), resident(), []
        for _ in range(3):
            with assert_nothing_left():
                asyncio.run(main())
            ends = time.monotonic() + 2
            while threads() > before and time.monotonic() < ends:
                os.sched_yield()
            assert threads() <= before
            sizes.append(resident())
        assert max(sizes) < first + 60
        assert sizes[-1] - sizes[0] < 20

    @virtual
    async def test_a_virtual_clock_stands_still_meanwhile(self) -> None:
        resources = Resources()
        timer = asyncio.create_task(asyncio.sleep(30))
        await read(EngineModel(engine()).open(ask(SOUP, 3), resources))
        await resources.aclose()
        assert current_clock().time() == 0
        assert not timer.done()
        timer.cancel()
        await asyncio.wait([timer])

    async def test_a_load_that_is_left_goes_on_and_ends_with_the_runtime(self) -> None:
        async with assert_nothing_left():
            llama, resources = engine(), Resources()
            model = EngineModel(llama)
            for _ in range(2):
                load = asyncio.create_task(anext(model.open(ask(SOUP), resources)))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                load.cancel()
                await asyncio.wait([load])
            await read(model.open(ask(SOUP, 2), resources))
            await resources.aclose()
            left = asyncio.create_task(anext(model.open(ask(SOUP), resources)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.wait([left])
            await resources.aclose()


@needs_engine
class TestWhatIsMissing:
    async def test_a_file_that_is_no_model_is_named(self, tmp_path: Path) -> None:
        for data in (b"", b"soup" * 100, b"GGUF" + b"\0" * 100, b"GGUF\3\0\0\0" + b"\xff" * 64):
            path = tmp_path / "soup.gguf"
            path.write_bytes(data)
            async with assert_nothing_left():
                resources = Resources()
                with pytest.raises(UserError, match=r"soup\.gguf can't be loaded: it is no GGUF model"):
                    await read(open_in_flight(str(path)).open(ask("Soup"), resources))
                await resources.aclose()

    def test_names_are_checked_beforehand(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="there is no file"):
            Endpoint(f"in-flight:{tmp_path}/none.gguf").target  # noqa: B018
        with pytest.raises(UserError, match="did you mean `smollm2-135m`"):
            Endpoint("in-flight:smollm2-153m").target  # noqa: B018
        with pytest.raises(UserError, match="sequences must be at least 1, not 0"):
            LlamaEngine(tmp_path / "soup.gguf", sequences=0)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'agentflow-async\[inflight\]'"):
        LlamaEngine(tmp_path / "soup.gguf")
