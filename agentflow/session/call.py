"""One tool call of a session, and the board of all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from agentflow.errors import ToolError, ToolRetry
from agentflow.runtime.ending import end_all
from agentflow.runtime.journal import StepFact
from agentflow.runtime.ledger import decode, encode
from agentflow.session.blocks import clip
from agentflow.session.references import Reference, fill, pick
from agentflow.session.slots import Slots
from agentflow.session.streamed import Streamed
from agentflow.tools import Progress, Tool, render
from agentflow_protocols.chat import Json, ToolCall
from agentflow_protocols.trace import (
    ApprovalNeeded,
    ApprovalSettled,
    ToolCalled,
    ToolFinished,
    ToolProgress,
)

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["Board", "Call", "Outcome"]

Deps = TypeVar("Deps")
Outcome = Literal["ok", "retry", "failed", "cancelled", "unknown"]

ARTIFACT_BYTES = 32_768  # longer results are kept beside the conversation
_UNKNOWN = (
    "The outcome of this call is unknown: the program ended while it ran. It may have had its effect;"
    " look before you call it again."
)


_NO_NEEDS: Mapping[Reference, Call] = MappingProxyType({})


@dataclass(slots=True, eq=False)
class Call:
    """A call under way or done. `text` is what the model is told of its outcome."""

    id: str
    name: str
    arguments: str
    tool: Tool[..., object] | None
    began: float
    replayed: bool = False
    fault: str | None = None
    estimate: float | None = None
    started: float | None = None
    task: asyncio.Task[None] | None = None
    outcome: Outcome | None = None
    ended: int = 0  # its place among the calls of its session that have ended
    text: str = ""
    progress: Sequence[Json] = ()
    unwanted: bool = False  # the model cancelled it
    own: bool = False  # the session answers it itself
    told: Literal["no", "running", "done"] = "no"
    needs: Mapping[Reference, Call] = field(
        default_factory=lambda: _NO_NEEDS
    )  # whose results its arguments name
    used_by: tuple[Call, ...] = ()
    settled: bool = False  # known to feed nothing that runs
    depth: int = 0  # calls in the longest chain before it
    artifact: str = ""  # where its result is kept, when it is too long for a message

    @property
    def done(self) -> bool:
        """Whether the outcome is there."""
        return self.outcome is not None

    @property
    def silent(self) -> bool:
        """Whether the model goes on for its outcome only when something else is there, too."""
        return self.tool is not None and self.tool.options.urgency == "silent"

    @property
    def urgent(self) -> bool:
        """Whether its outcome cuts a reply that is being written."""
        return self.tool is not None and self.tool.options.urgency == "now"

    @property
    def news(self) -> bool:
        """Whether its outcome is worth telling: it is there, and not only what calls that run wait for."""
        return self.done and not self.silent and not self.feeds

    @property
    def feeds(self) -> bool:
        """Whether a call that runs needs it, itself or through others."""
        if not self.settled:
            self.settled = all(call.done and not call.feeds for call in self.used_by)
        return not self.settled

    def use(self, needs: Mapping[Reference, Call]) -> None:
        """Let this call wait for those that its arguments name."""
        self.needs = needs
        self.depth = 1 + max(call.depth for call in needs.values())
        for needed in dict.fromkeys(needs.values()):
            needed.used_by += (self,)
            again = [needed]
            while again:
                call = again.pop()
                if call.settled:
                    call.settled = False
                    again += call.needs.values()

    def due(self, now: float) -> float | None:
        """Return the seconds until the outcome may be expected, None when nobody can say."""
        if self.estimate is None:
            return None
        if self.started is None:
            before = [call.due(now) for call in self.needs.values() if not call.done]
            known = [due for due in before if due is not None]
            return self.estimate + max(known, default=0.0) if len(known) == len(before) else None
        left = self.estimate - (now - self.started)
        return left if left >= 0 else None

    def remaining(self, known: dict[str, float] | None = None) -> float:
        """Return the seconds of the call and of the longest chain of calls that need it."""
        known = {} if known is None else known
        if self.id not in known:
            after = max((call.remaining(known) for call in self.used_by if not call.done), default=0.0)
            known[self.id] = (self.estimate or 0.0) + after
        return known[self.id]


class Board:
    """The calls of one session, by id: they start here, end here, and are cancelled here."""

    def __init__(self, context: Context[Deps], first_number: int = 0) -> None:
        self.calls: dict[str, Call] = {}
        self.changed = context.inbox.changed
        self._idle = context.state.idle
        self.error: BaseException | None = None
        self.on_end: Callable[[Call], object] | None = None  # set while a reply is being written
        self._context = context
        self._number = first_number
        self._ended = 0
        self._slots: dict[str, Slots] = {}

    def new_id(self) -> str:
        """Return an id that no call of this conversation has: nine characters."""
        self._number += 1
        return f"c{self._number:08d}"

    @property
    def running(self) -> list[Call]:
        """Calls without an outcome."""
        return [call for call in self.calls.values() if not call.done]

    @property
    def owed(self) -> list[Call]:
        """Calls whose outcome the model does not know yet."""
        return [call for call in self.calls.values() if call.told != "done"]

    async def change(self, *, idle: bool = True) -> None:
        """Wait for an end or an interrupt. When `idle`, `Context.awaited` tells that the model waits.

        It does not while a call runs that holds the model up.
        """
        if idle and not any(c.tool is not None and c.tool.options.reply == "wait" for c in self.running):
            self._idle.set()
        try:
            await self.changed.wait()
        finally:
            self._idle.clear()

    def named(self, name: str, group: Sequence[Call]) -> Call | None:
        """Return the tool call that a model names: by its id, or as `c1`, the first of its message."""
        found = self.calls.get(name)
        if found is None and name[:1] == "c" and name[1:].isdecimal() and 0 < int(name[1:]) <= len(group):
            found = group[int(name[1:]) - 1]
        return None if found is None or found.own else found

    def start(
        self,
        written: ToolCall,
        tool: Tool[..., object] | None,
        fault: str | None,
        replayed: bool,
        needs: Mapping[Reference, Call] | None = None,
    ) -> Call:
        """Start the call that a model wrote, once those that it `needs` have ended."""
        now = self._context.clock.time()
        call = Call(written.id, written.name, written.arguments, tool, now, replayed, fault)
        self.calls[call.id] = call
        if needs:
            call.use(needs)
            call.estimate = self._context.runtime.estimates.get(call.name)
        call.task = asyncio.create_task(self._run(call), name=f"{written.name} {written.id}")
        return call

    def own(self, written: ToolCall, answer: Callable[[Call], Awaitable[str | None]]) -> Call:
        """Take a call that the session answers itself; None leaves it open, for `tell_wait`."""
        call = Call(written.id, written.name, written.arguments, None, self._context.clock.time(), own=True)
        self.calls[call.id] = call
        key = f"call/{call.id}"
        self._context.ledger.claim(key)
        known = self._context.ledger.recall(key)

        async def run() -> None:
            try:
                if known is not None:
                    data = cast("dict[str, str]", decode(known.output))
                    self._tell(call, "ok", data["text"], replayed=known)
                elif (text := await answer(call)) is not None:
                    self._tell(call, "ok", text)
            except Exception as error:
                self.error = self.error or error
                self.changed.set()

        call.task = asyncio.create_task(run(), name=f"{written.name} {written.id}")
        return call

    def tell_wait(self, call: Call, text: str) -> None:
        """Answer a `wait` at the boundary at which it ends."""
        self._tell(call, "ok", text)

    def settle(self, call: Call, outcome: Outcome, text: str) -> None:
        """Give a call its outcome."""
        call.outcome, call.text = outcome, text
        self._ended += 1
        call.ended = self._ended
        self.changed.set()
        if self.on_end is not None:
            self.on_end(call)

    async def cancel(self, call: Call) -> None:
        """Cancel a call on the model's wish, and wait until nothing of it runs."""
        call.unwanted = True
        if call.task is not None:
            await end_all((call.task,))

    def detach(self, keep: Callable[[asyncio.Task[None]], None]) -> None:
        """Hand what still runs over to `keep`."""
        for call in self.running:
            if call.task is not None:
                keep(call.task)
                call.task = None

    async def aclose(self) -> None:
        """Cancel whatever still runs, and wait for it."""
        await end_all(call.task for call in self.calls.values() if call.task is not None)

    async def _run(self, call: Call) -> None:
        """Bring one call to its outcome; an error that no model can mend ends the session."""
        try:
            await self._outcome(call)
        except asyncio.CancelledError:
            if not call.done:
                self._tell(call, "cancelled", "cancelled", record=call.unwanted)
            raise
        except BaseException as error:
            self.error = self.error or error
            self.changed.set()

    async def _outcome(self, call: Call) -> None:
        context, key = self._context, f"call/{call.id}"
        context.ledger.claim(key)
        known = context.ledger.recall(key)
        if known is not None:
            data = cast("dict[str, str]", decode(known.output))
            call.artifact = data.get("artifact", "")
            self._tell(call, cast("Outcome", data["status"]), data["text"], replayed=known)
            return
        tool = call.tool
        if tool is None or call.fault is not None:
            self._tell(call, "retry", f"error: {call.fault or f'there is no tool `{call.name}`'}")
            return
        try:
            if "$" in call.arguments:
                call.arguments = await self._filled(call)
            arguments = tool.validate(call.arguments)
        except ToolRetry as error:
            self._tell(call, "retry", f"error: {error}")
            return
        if call.estimate is None:
            call.estimate = tool.options.estimate_of(arguments)
        if call.estimate is None:
            call.estimate = context.runtime.estimates.get(tool.name)
        await self._admitted(call, tool, arguments)

    async def _filled(self, call: Call) -> str:
        """Wait for the calls that the arguments name, and return the arguments with their results."""
        values: dict[str, Json] = {}
        for reference, needed in call.needs.items():
            if needed.task is not None and not needed.done:
                await asyncio.wait((needed.task,))
            if needed.outcome != "ok":
                raise ToolRetry(
                    f"`{reference.text}`: the call {reference.call} has no result: {needed.text[:200]}"
                )
            text = needed.text
            if needed.artifact:
                text = (await self._context.read_artifact(needed.artifact)).decode()
            try:
                values[reference.text] = pick(text, reference)
            except LookupError as error:
                raise ToolRetry(str(error.args[0])) from None
        return fill(call.arguments, values)

    async def _admitted(self, call: Call, tool: Tool[..., object], arguments: dict[str, object]) -> None:
        """Run the call once it is approved and there is a slot for it."""
        options, ledger = tool.options, self._context.ledger
        approval, slots = options.approval_of(arguments), options.max_parallel
        deferred = approval or slots is not None or bool(call.needs)
        marked = ledger.find(f"call/{call.id}")
        begun = marked is not None and marked.status == "started" if deferred else call.replayed
        if begun and not options.idempotent:
            self._tell(call, "unknown", _UNKNOWN)
            return
        if approval and not await self._approved(call):
            return
        gate = self._context.state.gate
        if slots is None:
            await gate.passed()
            with gate.busy():
                await self._begin(call, tool, arguments, mark=deferred)
            return
        async with self._slots.setdefault(tool.name, Slots(slots)).slot(call):
            await gate.passed()
            with gate.busy():
                await self._begin(call, tool, arguments, mark=True)

    async def _approved(self, call: Call) -> bool:
        context = self._context
        context.emit(ApprovalNeeded(call.id, call.name, call.arguments))
        asked = {"tool": call.name, "arguments": call.arguments}
        answer = await context.wait_for(f"approve/{call.id}", cast("Json", asked))
        settled = cast("dict[str, object]", answer) if isinstance(answer, dict) else {}
        approved, why = bool(settled.get("approved")), str(settled.get("why") or "")
        context.emit(ApprovalSettled(call.id, approved, why))
        if not approved:
            self._tell(call, "failed", f"error: denied by a person{': ' + why if why else ''}")
        return approved

    async def _begin(
        self, call: Call, tool: Tool[..., object], arguments: dict[str, object], mark: bool
    ) -> None:
        context = self._context
        if not tool.options.idempotent and context.ledger.durable:
            if mark:
                context.ledger.put(f"call/{call.id}", None, status="started")
            await context.ledger.barrier()
        call.started = context.clock.time()
        label = f"{call.name} {call.id}"
        context.state.activity[label] = call.started
        context.emit(ToolCalled(call.id, call.name, call.arguments))
        streamed = Streamed(lambda text: context.state.interrupt_soon(call.id, text))
        try:
            inside = context.for_call(call.id, call.name, self._progress(call))
            value = await tool.run(inside, arguments, self._yielded(call, streamed))
            text = render(value)
            streamed.flush()
            if len(text) > ARTIFACT_BYTES:
                name = call.artifact = f"result-{call.id}"
                await context.artifact(name, text.encode())
                text = clip(text, name, ARTIFACT_BYTES)
            self._tell(call, "ok", text)
        except ToolRetry as error:
            self._tell(call, "retry", f"error: {error}")
        except ToolError as error:
            self._tell(call, "failed", f"error: {error}")
        finally:
            streamed.drop()
            context.state.activity.pop(label, None)

    def _progress(self, call: Call) -> Callable[[Json], None]:
        def told(data: Json) -> None:
            call.progress = [*call.progress[-9:], data]
            self._context.emit(ToolProgress(call.id, call.name, data))

        return told

    def _yielded(self, call: Call, streamed: Streamed) -> Callable[[object], None]:
        def told(value: object) -> None:
            if isinstance(value, Progress):
                self._progress(call)(value.data)
            else:
                streamed.add(render(cast("Json", value)))

        return told

    def _tell(
        self,
        call: Call,
        outcome: Outcome,
        text: str,
        *,
        record: bool = True,
        replayed: StepFact | None = None,
    ) -> None:
        """Put the outcome down, unless the journal told it, tell it, and wake the session."""
        context = self._context
        if replayed is not None:
            seconds = replayed.ended - replayed.started
        else:
            seconds = context.clock.time() - call.started if call.started is not None else 0.0
            if record:
                kept = {"artifact": call.artifact} if call.artifact else {}
                output = encode({"status": outcome, "text": text, **kept}, f"the result of {call.name}")
                source = encode({"name": call.name}, "a name") if call.started is not None else None
                context.ledger.put(f"call/{call.id}", output, input=source, started=time.time() - seconds)
            if outcome == "ok" and call.started is not None:
                learned = context.runtime.estimates.get(call.name)
                mean = seconds if learned is None else learned + 0.3 * (seconds - learned)
                context.runtime.estimates[call.name] = mean
        told = ToolFinished(call.id, call.name, outcome, text[:2000], seconds, replayed=replayed is not None)
        context.emit(told)
        self.settle(call, outcome, text)
