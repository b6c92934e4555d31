"""Agent: instructions, tools, a model and the type of its answer."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Generic, TypeAlias, cast

from typing_extensions import TypeVar

from agentflow.agent.output import Invalid, JsonSchema, OutputType
from agentflow.errors import RemoteProtocolError, UserError
from agentflow.runtime.budget import Limits
from agentflow.runtime.context import Context, Runnable
from agentflow.runtime.inbox import Policy, Priority
from agentflow.runtime.sources import Listened, Listening, Source
from agentflow.session import Carrier, InFlight, Native, OnFinish, OnOverflow, Persona, Session, TrapMode
from agentflow.session.blocks import TRANSFER
from agentflow.tools import Tool, from_function, tools_by_name
from agentflow_protocols.chat import Json, Message, Part, Reply, Settings, ToolSpec

if TYPE_CHECKING:
    from agentflow.endpoints import Endpoint

__all__ = ["Agent", "Input"]

Deps = TypeVar("Deps", contravariant=True, default=object)
Out = TypeVar("Out", default=str)

Input: TypeAlias = str | Sequence[Part] | Message
Instructions: TypeAlias = "str | Callable[[Context[Deps]], str | Awaitable[str]]"
Tools: TypeAlias = Sequence["Tool[..., object] | Callable[..., object]"]

TURNS = 100  # replies that a run of an agent may take unless its limits say otherwise


class Agent(Generic[Deps, Out]):
    """A model with instructions, tools and a typed answer; run it by a Runtime.

    `output` is `str`, a type that pydantic can validate (a model, a dataclass, a
    union, `list[int]` …) or a `JsonSchema`; an answer that does not fit is given back
    to the model with the fault, `output_retries` times. `deps_type` only tells the
    type checker what `run(deps=…)` must be. `handoffs` are agents that may take the
    conversation over. `on_finish` says what becomes of calls that still run when the
    model has answered: `wait` for them (the model may amend), `cancel` or `detach`.
    `on_overflow` says what to do when the conversation outgrows the model's window:
    `compact` its oldest part, or raise the `error`. `grace` is the seconds that a call
    with `reply="interrupt"` is given before the model goes on without its result; None
    is the learned cost of a request. `trap` says what a wait for nothing in particular
    waits for: `any` result or `all`. With `references`, a call's arguments may name results
    that are not there yet (`"$c1.field"`). `limits` default to 100 turns.
    """

    def __init__(
        self,
        endpoint: Endpoint | Carrier,
        *,
        name: str = "agent",
        instructions: Instructions[Deps] = "",
        tools: Tools = (),
        output: type[Out] | JsonSchema = cast("type[Out]", str),
        deps_type: type[Deps] | None = None,
        settings: Settings | None = None,
        limits: Limits | None = None,
        handoffs: Sequence[Agent[Deps, Out]] = (),
        on_finish: OnFinish = "wait",
        on_overflow: OnOverflow = "compact",
        output_retries: int = 2,
        grace: float | None = None,
        trap: TrapMode = "any",
        references: bool = True,
    ) -> None:
        for what, value, allowed in (
            ("trap", trap, ("any", "all")),
            ("on_finish", on_finish, ("wait", "cancel", "detach")),
            ("on_overflow", on_overflow, ("compact", "error")),
        ):
            if value not in allowed:
                raise UserError(f"agent {name}: {what} must be one of {', '.join(allowed)}, not {value!r}")
        if grace is not None and not 0 <= grace < float("inf"):
            raise UserError(f"agent {name}: grace must be 0 or more seconds, not {grace!r}")
        if output_retries < 0:
            raise UserError(f"agent {name}: output_retries must be 0 or more, not {output_retries!r}")
        self.grace = grace
        self.trap: TrapMode = trap
        self.references = references
        self.name = name
        self.carrier: Carrier = _carrier(endpoint)
        self.instructions = instructions
        self.tools = tools_by_name([t if isinstance(t, Tool) else from_function(t) for t in tools])
        self.output: OutputType[Out] = OutputType(output)
        self.settings = settings or Settings()
        self.limits = limits or Limits(turns=TURNS)
        self.handoffs = {agent.name: agent for agent in handoffs}
        if len(self.handoffs) != len(handoffs):
            raise UserError(f"agent {name}: two handoffs have one name; give each agent a name of its own")
        self.on_finish: OnFinish = on_finish
        self.on_overflow: OnOverflow = on_overflow
        self.output_retries = output_retries
        self.sources: tuple[Listened[Deps], ...] = ()
        self._specs: dict[tuple[str, str], ToolSpec] = {}

    def __repr__(self) -> str:
        return f"Agent({self.name!r}, {self.carrier.name!r})"

    @property
    def output_type(self) -> object:
        """The type of the answer, None for plain JSON."""
        return None if isinstance(self.output.kind, JsonSchema) else self.output.kind

    async def __run__(self, context: Context[Deps], input: Input, /) -> Out:
        """Converse until there is a valid answer, and return it. See `Runtime.run`."""
        messages = context.state.messages
        messages.append(_user_message(input))
        agent = self
        session = Session(context, await agent._persona(context), messages)
        faults = 0
        async with Listening(context, self.sources):
            try:
                while True:
                    reply = await session.converse()
                    if session.handed_to is not None:
                        agent = agent.handoffs[session.handed_to]
                        session.persona = await agent._persona(context)
                        continue
                    try:
                        return agent._accept(reply)
                    except Invalid as fault:
                        faults += 1
                        if faults > agent.output_retries:
                            raise RemoteProtocolError(
                                f"agent {agent.name}: no valid answer in {faults} tries: {fault}"
                            ) from None
                        session.say(f"That answer is not valid: {fault}. Answer again, in full.")
            finally:
                await session.aclose()

    def listen(
        self,
        source: Source[Deps],
        *,
        name: str,
        priority: Priority = "next",
        policy: Policy = "coalesce",
    ) -> Agent[Deps, Out]:
        """Return this agent with one more source of interrupts: a `Timer`, or your own.

        `source` is an async iterable, or a function of the context that returns one; each
        run reads an iterator of its own, and ends it. A value is text or JSON, and goes in
        under `name`, by `priority` and `policy` as in `Run.interrupt`. While a source is
        open, the model may wait for it. One that fails is told to the model.
        """
        if any(other.name == name for other in self.sources):
            raise UserError(f"agent {self.name}: two sources are named {name!r}; rename one")
        agent = copy(self)
        agent.sources = (*self.sources, Listened(source, name, priority, policy))
        return agent

    def with_tools(self, *tools: Tool[..., object] | Callable[..., object]) -> Agent[Deps, Out]:
        """Return this agent with more tools."""
        agent = copy(self)
        made = [tool if isinstance(tool, Tool) else from_function(tool) for tool in tools]
        agent.tools = tools_by_name([*self.tools.values(), *made])
        return agent

    def as_tool(
        self, name: str | None = None, description: str | None = None
    ) -> Tool[[Context[Deps], dict[str, Json]], Awaitable[object]]:
        """Return a tool that runs this agent as a child run and returns its answer."""
        chosen = name or self.name

        async def ask(context: Context[Deps], arguments: dict[str, Json]) -> object:
            text = str(arguments["input"])
            child: Runnable[Deps, str, Out] = self
            return (await context.run(child, text, key=f"{chosen}-{context.call}")).output

        parameters: dict[str, Json] = {
            "type": "object",
            "properties": {"input": {"type": "string", "description": "the task, with all that it needs"}},
            "required": ["input"],
            "additionalProperties": False,
        }
        about = description or f"Give a task to the agent {self.name}, and get its answer."
        return Tool.from_schema(chosen, about, parameters, ask, idempotent=True)

    async def _persona(self, context: Context[Deps]) -> Persona:
        """Return this agent's part of a conversation."""
        system: str | Awaitable[str] = (
            self.instructions if isinstance(self.instructions, str) else self.instructions(context)
        )
        if inspect.isawaitable(system):
            system = await system
        schema = self.output.schema
        if schema is not None and not _constrains(self.carrier):
            import json

            system += f"\n\nAnswer with JSON only, by this JSON Schema: {json.dumps(schema)}"
            schema = None if self.carrier.markup is None else schema  # a grammar may hold it in markup
        return Persona(
            self.name,
            self.carrier,
            system,
            self.tools,
            dict(map(_transfer, self.handoffs.values())),
            self.settings,
            schema,
            self.output.name,
            self.on_finish,
            self.on_overflow,
            self.grace,
            self.trap,
            self.references,
            self._specs,
        )

    def _accept(self, reply: Reply) -> Out:
        """Return the output of the final reply; raises Invalid when the model may try again."""
        message = reply.message
        if message.refusal:
            raise RemoteProtocolError(f"agent {self.name}: the model refused: {message.refusal[:300]}")
        if reply.finish == "content_filter":
            raise RemoteProtocolError(f"agent {self.name}: the provider's content filter stopped the answer")
        if reply.finish == "length" and self.output.schema is not None:
            raise Invalid("it was cut off at the limit of tokens; be shorter")
        return self.output.read(message.text)


def _carrier(endpoint: Endpoint | Carrier) -> Carrier:
    from agentflow.endpoints import Endpoint

    if not isinstance(endpoint, Endpoint):
        return endpoint
    return InFlight(endpoint) if endpoint.name.startswith("in-flight:") else Native(endpoint)


def _constrains(carrier: Carrier) -> bool:
    """Return whether the model's answer can be constrained to a schema."""
    return isinstance(carrier, Native) and carrier.endpoint.capabilities.json_schema


def _transfer(agent: Agent[Deps, Out]) -> tuple[str, ToolSpec]:
    name = f"{TRANSFER}{agent.name}"
    parameters: Mapping[str, Json] = {"type": "object", "properties": {}, "additionalProperties": False}
    return name, ToolSpec(name, f"Let the agent {agent.name} go on with this conversation.", parameters)


def _user_message(input: Input) -> Message:
    if isinstance(input, Message):
        return input
    if isinstance(input, dict):  # a Message as the journal keeps it
        return Message.from_json(input)
    if not isinstance(input, str):
        if not input or not all(hasattr(part, "__dataclass_fields__") for part in input):
            raise UserError("an agent's input is text, a Message, or a list of TextPart, ImagePart, FilePart")
        return Message("user", list(input))
    if not input:
        raise UserError("an agent's input is empty: give it a text")
    return Message("user", input)
