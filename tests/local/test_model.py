"""Real tokens: SmolLM2 by llama.cpp. Skipped where either is missing; nothing is fetched here."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import BaseModel, Field
from virtual import virtual

from agentflow import Agent, Endpoint, Interrupted, Runtime, Settings, TextDelta, Timeouts, UserError, tool
from agentflow.errors import ContextOverflow
from agentflow.local import LocalModel, store
from agentflow.local.slots import Slots
from agentflow.runtime.resources import Resources
from agentflow.testing import assert_nothing_left
from agentflow_protocols.chat import ChatRequest, Message

NAME = "smollm2-135m"
SURE = Settings(temperature=0, max_tokens=12)
ENDLESS = Settings(temperature=0, max_tokens=3000)

needs_llama = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None,
    reason="xllamacpp is not installed: pip install 'agentflow-async[local]'",
)
needs_model = pytest.mark.skipif(
    NAME not in {model.name for model in store.installed()},
    reason=f"the model is not here: agentflow models pull {NAME}",
)


class Soup(BaseModel):
    """What the model is made to answer."""

    name: str = Field(max_length=30)
    minutes: int = Field(ge=1, le=90)


def asked(text: str) -> ChatRequest:
    return ChatRequest([Message("user", text)], settings=ENDLESS)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def ended(pid: int) -> None:
    """Return once the process `pid`, no child of ours, is gone."""
    async with asyncio.timeout(10):
        with open(os.pidfd_open(pid)) as exits:
            gone = asyncio.Event()
            asyncio.get_running_loop().add_reader(exits, gone.set)
            await gone.wait()
            asyncio.get_running_loop().remove_reader(exits)


@needs_llama
@needs_model
class TestRealTokens:
    async def test_a_reply_is_streamed_then_an_answer_follows_its_schema(self) -> None:
        async with assert_nothing_left():
            model = Endpoint(f"local:{NAME}", settings=SURE)
            async with Runtime() as runtime:
                pieces = []
                async with runtime.start(Agent(model), "Say hello.") as run:
                    async for event in run:
                        if isinstance(event, TextDelta):
                            pieces.append(event.text)
                    result = await run.result()
                assert len(pieces) > 3
                assert "".join(pieces) == result.output
                assert result.usage.input_tokens > 5
                assert result.usage.output_tokens > 3
                agent = Agent(model, output=Soup, settings=Settings(max_tokens=200))
                soup = (await runtime.run(agent, "Which soup is quick?")).output
                assert isinstance(soup, Soup)

    async def test_an_interrupt_cuts_the_reply_and_little_is_read_again(self) -> None:
        async with assert_nothing_left():
            agent = Agent(Endpoint(f"local:{NAME}", settings=Settings(temperature=0, max_tokens=30)))
            async with Runtime() as runtime:
                await runtime.run(agent, "Say hello.")
                async with runtime.start(agent, "Tell a long story about a soup.") as run:
                    written, cut = 0, False
                    async for event in run:
                        if isinstance(event, TextDelta):
                            written += 1
                            if written == 5:
                                await run.interrupt("Stop. Write about bread.", priority="now")
                        cut = cut or (isinstance(event, Interrupted) and event.cut)
                    result = await run.result()
                assert cut
                assert [message.role for message in result.messages] == ["user", "assistant"] * 2
                # The first request tells no usage, since it was cut: all that is cached is the second's.
                assert result.usage.cached_tokens > 20

    async def test_slots_are_shared_and_left_replies_free_them(self) -> None:
        model = LocalModel(NAME, slots=1, context=512)
        resources = Resources()
        async with assert_nothing_left():
            left = model.open(asked("Count to a thousand."), resources)
            await anext(left)
            second = model.open(asked("Say hello."), resources)
            waits = asyncio.create_task(anext(second))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waits.done()
            await left.aclose()
            await left.aclose()
            async with asyncio.timeout(20):
                await waits
            await second.aclose()
            await resources.aclose()

    async def test_a_server_that_was_lost_is_started_again(self) -> None:
        resources = Resources()
        async with assert_nothing_left():
            endpoint = Endpoint(LocalModel(NAME, context=512), settings=SURE)
            first = await endpoint.complete("Say hello.", resources=resources)
            pid = LocalModel(NAME, context=512).server(resources).pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            assert (await endpoint.complete("Say hello.", resources=resources)).message == first.message
            await resources.aclose()

    async def test_tools_that_the_template_can_not_show_are_refused(self) -> None:
        @tool
        async def boil(pot: str) -> str:
            """Boil."""
            return pot

        async with assert_nothing_left(), Runtime() as runtime:
            with pytest.raises(UserError, match="chat template has no place for tools"):
                await runtime.run(Agent(Endpoint(f"local:{NAME}"), tools=[boil]), "Boil pot a.")

    async def test_too_long_a_conversation_is_an_overflow(self) -> None:
        endpoint = Endpoint(LocalModel(NAME, context=256, slots=1), settings=SURE)
        with pytest.raises(ContextOverflow, match="exceeds the available context size"):
            await endpoint.complete("word " * 400)

    async def test_a_load_that_is_left_goes_on_and_is_ended_with_its_owner(self) -> None:
        resources = Resources()
        server = LocalModel(NAME).server(resources)
        async with assert_nothing_left():
            loads = asyncio.create_task(server.served())
            while server.pid is None:
                await asyncio.sleep(0)
            pid = server.pid
            loads.cancel()
            with pytest.raises(asyncio.CancelledError):
                await loads
            assert is_alive(pid)
            assert (await server.served()).base_url.startswith("http://127.0.0.1:")
            assert server.pid == pid
            await resources.aclose()
            assert not is_alive(pid)

    async def test_a_proxy_is_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.delenv("REQUEST_METHOD", raising=False)
        reply = await Endpoint(f"local:{NAME}", settings=SURE, retry=1).complete("Say hello.")
        assert reply.message.text

    @pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
    async def test_the_server_ends_with_the_program_even_one_that_is_killed(self) -> None:
        code = (
            "import asyncio\n"
            "from agentflow.local import LocalModel\n"
            "from agentflow.runtime.resources import Resources\n"
            "async def main():\n"
            f"    server = LocalModel({NAME!r}).server(Resources())\n"
            "    await server.served()\n"
            "    print(server.pid, flush=True)\n"
            "    await asyncio.Event().wait()\n"
            "asyncio.run(main())\n"
        )
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env) as program:
            assert program.stdout is not None
            pid = int(await asyncio.to_thread(program.stdout.readline))
            assert is_alive(pid)
            program.kill()
        await ended(pid)


async def test_a_slot_is_chosen_by_what_it_knows_then_by_its_age() -> None:
    soup, bread = [Message("user", "soup")], [Message("user", "bread")]
    more = [*soup, Message("assistant", "leek"), Message("user", "which?")]
    slots = Slots(2)

    async def ask(messages: list[Message]) -> int:
        slot = await slots.acquire(messages)
        slots.release(slot)
        return slot

    assert [await ask(talk) for talk in (soup, bread, soup, more, bread, soup)] == [0, 1, 0, 0, 1, 0]
    held = await slots.acquire(soup)
    assert held == 0
    assert await slots.acquire(more) == 1
    waits = asyncio.create_task(slots.acquire(bread))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waits.done()
    waits.cancel()
    slots.release(held)
    assert await ask(bread) == 0


@needs_llama
@needs_model
@virtual
async def test_virtual_time_stands_still_while_the_model_works() -> None:
    agent = Agent(Endpoint(f"local:{NAME}", settings=SURE))
    async with Runtime() as runtime, asyncio.timeout(5):
        began = time.monotonic()
        result = await runtime.run(agent, "Say hello.")
        assert time.monotonic() > began
    assert result.virtual_s == 0


@needs_llama
async def test_a_file_that_is_no_model_is_refused_once(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF and no more")
    async with assert_nothing_left(), Runtime() as runtime:
        with pytest.raises(UserError, match=r"local:.*bad\.gguf can't be loaded: it is no GGUF model"):
            await runtime.run(Agent(Endpoint(f"local:{bad}")), "Hello.")


def test_what_is_not_here_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match="is not on this machine: agentflow models pull smollm2-135m"):
        Endpoint(f"local:{NAME}").check()
    with pytest.raises(UserError, match=r"did you mean `smollm2-135m`\?"):
        Endpoint("local:smollm-135m").check()
    with pytest.raises(UserError, match=r"there is no file .*none\.gguf"):
        Endpoint(f"local:{tmp_path / 'none.gguf'}").check()
    with pytest.raises(UserError, match="slots must be at least 1, not 0"):
        LocalModel(NAME, slots=0)


def test_the_missing_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gguf").touch()
    monkeypatch.setitem(sys.modules, "xllamacpp", None)  # what the import system takes for not there
    with pytest.raises(UserError, match=r"pip install 'agentflow-async\[local\]'$"):
        LocalModel(str(tmp_path / "a.gguf"))


def test_the_example_can_be_imported() -> None:
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "local.py"), run_name="example")
    assert example["MODEL"].name == f"local:{NAME}"


@needs_llama
def test_an_endpoints_own_options_reach_the_model(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    limits = Timeouts(idle=7)
    target = Endpoint(f"local:{tmp_path / 'a.gguf'}", timeouts=limits).target
    assert isinstance(target, LocalModel)
    assert target.timeouts is limits
    assert target.capabilities.context_window == target.context
