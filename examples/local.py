"""Talk with a small model on this machine: stream, constrain, interrupt. `make demo-local` runs it.

SmolLM2 has 135 million parameters. Its tokens, its concurrency and its interrupts are
real; it is too small to be clever, and what it says is often nonsense.
"""

from __future__ import annotations

import asyncio
import sys
import time

from pydantic import BaseModel, Field

from agentflow import Agent, Endpoint, Interrupted, ModelFinished, Runtime, Settings, TextDelta, UserError

MODEL = Endpoint("local:smollm2-135m", settings=Settings(temperature=0.3, seed=7, max_tokens=90))


class Soup(BaseModel):
    """What a cook must know of a soup."""

    name: str = Field(min_length=3, max_length=40)
    minutes: int = Field(ge=5, le=90)
    vegetables: list[str] = Field(min_length=1, max_length=3)


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __str__(self) -> str:
        return f"[{time.monotonic() - self.began:5.2f} s]"


def say(text: str, end: str = "\n") -> None:
    """Print at once."""
    print(text, end=end, flush=True)


async def stream(runtime: Runtime) -> None:
    """Print a reply token by token."""
    say("\n1. A reply, token by token (the first one loads the model):")
    watch, tokens = Stopwatch(), 0
    async with runtime.start(Agent(MODEL), "How do I cook leek soup?") as run:
        async for event in run:
            if isinstance(event, TextDelta):
                if not tokens:
                    say(f"{watch} ", end="")
                    watch = Stopwatch()
                tokens += 1
                say(event.text, end="")
            elif isinstance(event, ModelFinished):
                say(f"\n{watch} {tokens} pieces after the first token")


async def constrain(runtime: Runtime) -> None:
    """Print an answer that must be a Soup; two at a time, since the server has two slots."""
    say("\n2. Two answers at once, each held to a schema while it is written:")
    watch = Stopwatch()
    cook = Agent(MODEL, instructions="Answer in JSON.", output=Soup, settings=Settings(max_tokens=160))

    async def ask(text: str) -> None:
        result = await runtime.run(cook, text)
        say(f"{watch} {result.output!r}")

    async with asyncio.TaskGroup() as group:
        for text in ("Which leek soup is quick?", "Which bean soup is slow?"):
            group.create_task(ask(text))


async def interrupt(runtime: Runtime) -> None:
    """Cut a reply in the middle of a sentence; the model goes on from there."""
    say("\n3. An interrupt in the middle of a reply:")
    watch, tokens = Stopwatch(), 0
    async with runtime.start(Agent(MODEL), "Tell a long story about a soup.") as run:
        say(f"{watch} ", end="")
        async for event in run:
            if isinstance(event, TextDelta):
                say(event.text, end="")
                tokens += 1
                if tokens == 30:
                    await run.interrupt("Stop. Say it in one short sentence.", priority="now")
            elif isinstance(event, Interrupted):
                say(f"\n{watch} -- {event.text}\n{watch} ", end="")
        usage = (await run.result()).usage
    say(f"\n{watch} {usage.requests} requests, {usage.cached_tokens} of {usage.input_tokens} tokens cached")


async def main() -> None:
    """Run the three."""
    say("SmolLM2-135M on this machine: real tokens, but too small a model to be clever.")
    async with Runtime() as runtime:
        await stream(runtime)
        await constrain(runtime)
        await interrupt(runtime)
        watch = Stopwatch()
    say(f"\n{watch} to close: the model's process has ended, nothing is left running.")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except UserError as error:
        sys.exit(f"error: {error}")
