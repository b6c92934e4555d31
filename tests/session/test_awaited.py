"""`Context.awaited`: time that passes only while the model waits, as in a game played by turns."""

import asyncio

from virtual import virtual

from agentflow import Agent, Context, Runtime, tool
from agentflow.testing import FakeEndpoint, ScriptedCall, assert_nothing_left


class Oven:
    """Bakes a cake in three ticks. A tick is an act of the cook, or passes while the cook waits."""

    def __init__(self) -> None:
        self.ticks = 0
        self.cakes: list[tuple[int, asyncio.Future[None]]] = []

    def tick(self) -> bool:
        """Let a tick pass; return whether a cake is ready by it."""
        self.ticks += 1
        ready = [cake for due, cake in self.cakes if due == self.ticks]
        for cake in ready:
            cake.set_result(None)
        return bool(ready)

    def tools(self):
        @tool(reply="wait")
        async def stir() -> str:
            """Stir something: a tick."""
            self.tick()
            return f"stirred at {self.ticks}"

        @tool(reply="interrupt")
        async def bake() -> str:
            """Bake a cake."""
            cake = asyncio.get_running_loop().create_future()
            self.cakes.append((self.ticks + 3, cake))
            await cake
            return f"baked at {self.ticks}"

        return [stir, bake]

    async def pass_time(self, context: Context[object]) -> None:
        while True:
            await context.awaited()
            while any(not cake.done() for _, cake in self.cakes) and not self.tick():
                pass


async def cooked(script) -> tuple[list[str], int]:
    oven = Oven()
    agent = Agent(FakeEndpoint(script, delay=0.5), tools=oven.tools(), grace=0.0)

    async def cook(context: Context[object], text: str) -> list[str]:
        passing = asyncio.create_task(oven.pass_time(context))
        try:
            await agent.__run__(context, text)
        finally:
            passing.cancel()
            await asyncio.wait([passing])
        return [message.text for message in context.state.messages if message.role != "assistant"]

    async with assert_nothing_left(), Runtime() as runtime:
        return (await runtime.run(cook, "A cake.")).output, oven.ticks


@virtual
async def test_time_passes_while_the_model_waits_and_not_while_it_acts():
    said, ticks = await cooked([[ScriptedCall("bake"), ScriptedCall("stir")], ScriptedCall("wait"), "Done."])
    assert said[1:3] == ['{"status": "running", "call": "c00000001"}', "stirred at 1"]
    assert said[-1] == "[INTR] c00000001 [HEAD] baked at 3 [END]"
    assert ticks == 3


@virtual
async def test_an_answer_with_a_call_still_open_is_a_wait_too():
    said, ticks = await cooked([ScriptedCall("bake"), "I wait for it.", "Done."])
    assert (said[-1], ticks) == ("[INTR] c00000001 [HEAD] baked at 3 [END]", 3)


@virtual
async def test_each_wait_is_told_once():
    calls = [ScriptedCall("bake"), ScriptedCall("stir"), ScriptedCall("bake")]
    script = [calls, ScriptedCall("wait"), ScriptedCall("stir"), ScriptedCall("wait"), "Done."]
    said, ticks = await cooked(script)
    blocks = [text for text in said if text.startswith("[INTR]")]
    assert [block.partition("[HEAD] ")[2] for block in blocks] == ["baked at 3 [END]", "baked at 4 [END]"]
    assert ticks == 4


@virtual
async def test_with_nothing_to_wait_for_nobody_is_told():
    said, ticks = await cooked([ScriptedCall("stir"), "Done."])
    assert (said[-1], ticks) == ("stirred at 1", 1)
