"""A model that acts by tools and is interrupted: what cooks is a call that runs while it goes on.

Boil, cook, fry and fill are done at once, and come back as interrupts when the kitchen's steps have
finished them. The kitchen's time is its steps: it passes by what the model does, and while the model
waits. So no idle wait is written, and whatever needs no look at a result goes into one message.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from agentflow.endpoints import Endpoint, OnEvent
from agentflow.errors import ContextOverflow, LimitExceeded, RemoteProtocolError, ToolRetry
from agentflow.runtime import Context
from agentflow.runtime.ending import end_all
from agentflow.runtime.resources import Resources
from agentflow.session import Carrier, CarrierStream, Native, Persona, Session
from agentflow.tools import Tool, tools_by_name
from agentflow_bench.robotouille.agents.calls import Form, calls_of
from agentflow_bench.robotouille.agents.diary import Diary
from agentflow_bench.robotouille.agents.hands import Enough, Hands
from agentflow_bench.robotouille.agents.prompts import prompt
from agentflow_bench.robotouille.agents.scene import without_actions
from agentflow_bench.robotouille.episode import Ending, Episode
from agentflow_protocols.chat import ChatRequest, Json, Message
from agentflow_protocols.cml import Markup

__all__ = ["Asynchronous"]

_FINISH = re.compile(r"\W*finish\W*", re.IGNORECASE)
_GO_ON = "The goal is not reached. Go on by calls of tools, or answer `Finish` and nothing else to give up."
_STEPS = 3600.0  # seconds that slow calls seem to take: they are not due by any clock, but by steps


@dataclass(frozen=True, slots=True)
class Asynchronous:
    """Plays in one session; `carrier` makes of an endpoint the way to reach the model.

    In markup a result cuts what the model writes, at the price of a request. That of a step is not worth
    it: it is told with the next one that is slow, or when the model waits, looks or ends its message.
    """

    carrier: Callable[[Endpoint], Carrier] = Native

    @property
    def needs_model(self) -> bool:
        """Whether it asks a model."""
        return True

    async def play(self, context: Context[object], endpoint: Endpoint, episode: Episode) -> Ending:
        """Play the episode to its end. After a crash the kitchen is brought to where it was, first."""
        seen = without_actions(episode.observe())
        tools = calls_of(episode.kitchen)
        hands = Hands(episode, Diary(context))
        carrier = self.carrier(endpoint)
        quiet = carrier.markup is not None
        persona = Persona(
            "cook",
            _Counted(carrier, hands),
            "\n\n".join(map(prompt, ("role", "async", "rules", "recipes"))),
            tools_by_name([_tool(hands, form, schema, quiet=quiet) for form, schema in tools]),
            grace=0.0,
            references=False,
        )
        session = Session(context, persona, context.state.messages)
        session.messages.append(Message("user", seen))
        talking = asyncio.create_task(_converse(session, episode), name="the cook's conversation")
        passing = asyncio.create_task(_pass_time(context, hands), name="the kitchen's time")
        try:
            await asyncio.wait((talking, passing), return_when=asyncio.FIRST_COMPLETED)
            if passing.done():  # it failed, and what it should have ended would be waited for for ever
                passing.result()
            ending = talking.result()
        finally:
            await end_all((talking, passing))
            await session.aclose()
        return "goal" if episode.done else "no steps left" if episode.over else ending


async def _converse(session: Session, episode: Episode) -> Ending:
    """Go on until the episode is over, or nothing more is to be expected."""
    try:
        while True:
            reply = await session.converse()
            if _FINISH.fullmatch(reply.message.text):
                return "gave up"
            session.say(_GO_ON)
    except Enough:
        return "no valid reply"
    except ContextOverflow:
        return "context window"
    except (RemoteProtocolError, LimitExceeded) as error:
        if isinstance(error, LimitExceeded) and error.limit != "traps":
            raise
        episode.malformed += 1  # broken markup again and again, or waits for nothing
        return "no valid reply"


async def _pass_time(context: Context[object], hands: Hands) -> None:
    while True:
        await context.awaited()
        hands.pass_time()


def _tool(hands: Hands, form: Form, schema: dict[str, Json], *, quiet: bool) -> Tool[..., object]:
    """Return the tool of a call. It is safe to run again: what was done is done once."""

    async def run(context: Context[object], given: dict[str, Json]) -> str:
        came = hands.call(context.call, form.name, given)
        if came.refused:
            raise ToolRetry(came.text)
        return came.text if came.slow is None else f"{await came.slow.ended()}.{hands.robot.news()}"

    return Tool.from_schema(
        form.name,
        form.about,
        schema,
        run,
        idempotent=True,
        reply="interrupt" if form.slow else "wait",
        urgency="silent" if quiet and not form.slow and form.actions else "idle",
        estimate=lambda: _STEPS if form.slow else 0.0,
    )


class _Counted:
    """A carrier whose requests are counted: each is one more chance to act."""

    def __init__(self, carrier: Carrier, hands: Hands) -> None:
        self.name = carrier.name
        self.cost = carrier.cost
        self._carrier = carrier
        self._hands = hands

    @property
    def markup(self) -> Markup | None:
        """The markup that the model writes."""
        return self._carrier.markup

    @property
    def parallel(self) -> bool:
        """Whether the model may write several calls in one reply."""
        return self._carrier.parallel

    @property
    def late_results(self) -> bool:
        """Whether a second result of a call may follow its placeholder as a tool message."""
        return self._carrier.late_results

    def stream(self, request: ChatRequest, resources: Resources, on_event: OnEvent) -> CarrierStream:
        """Return the reply. Raises `Enough`."""
        self._hands.ask(len(request.messages))
        return self._carrier.stream(request, resources, on_event)
