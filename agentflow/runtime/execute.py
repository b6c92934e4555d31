"""Run one thing to its end: the only place where a run begins, ends and is put down."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar, cast

from agentflow.errors import LimitExceeded, RunError
from agentflow.runtime.context import Context, Job, output_type
from agentflow.runtime.journal import RunEndFact, RunFact, RunRecord
from agentflow.runtime.ledger import decode, encode
from agentflow.runtime.result import Result
from agentflow.runtime.state import RunState
from agentflow_protocols.chat import Message, Usage
from agentflow_protocols.trace import RunFinished, RunStarted

if TYPE_CHECKING:
    from agentflow.runtime.runtime import Runtime

__all__ = ["execute", "name_of", "recorded_input", "replay", "stopped"]

Deps = TypeVar("Deps")
In = TypeVar("In")
Out = TypeVar("Out")


def name_of(x: object) -> tuple[str, str]:
    """Return a job's kind and name, for events and the journal."""
    name = getattr(x, "name", None) or getattr(x, "__name__", None) or type(x).__name__
    kind = getattr(x, "kind", None) or (
        "job" if callable(x) and not hasattr(x, "__run__") else type(x).__name__.lower()
    )
    return kind, str(name)


def recorded_input(record: RunRecord) -> tuple[object, list[Message]]:
    """Return the input and the history that a run was started with."""
    data = cast("dict[str, object]", decode(record.row.input))
    history = cast("list[dict[str, object]]", data.get("history") or [])
    return data.get("input"), [Message.from_json(message) for message in history]


def replay(record: RunRecord, kind: object) -> Result[object]:
    """Return the result of a run that has succeeded, from its record."""
    data = cast("dict[str, object]", decode(record.row.output))
    messages = cast("list[dict[str, object]]", data.get("messages") or [])
    output = data.get("output")
    if kind is not None:
        output = decode(encode(output, "an output"), kind)
    return Result(
        output,
        record.row.id,
        [Message.from_json(message) for message in messages],
        Usage(**cast("dict[str, int]", data["usage"])),
        cast("float | None", data["cost"]),
        (record.row.ended or record.row.started) - record.row.started,
        cast("float | None", data.get("virtual_s")),
        record.row.key,
    )


async def execute(
    runtime: Runtime,
    state: RunState,
    x: Job[Deps, In, Out],
    input: In,
    deps: Deps,
    history: list[Message],
    key: str | None,
) -> Result[Out]:
    """Run `x` in `state` and return its result; what it raises is raised after it was put down."""
    record = state.records.get(state.id)
    if record is not None and record.row.status == "succeeded":
        result = cast("Result[Out]", replay(record, output_type(x)))
        state.budget.charge(result.usage, result.cost)
        state.messages = result.messages
        _end(state, "succeeded", None)
        return result
    _begin(state, input, history, key, record)
    try:
        output = await _body(runtime, state, x, input, deps)
        result = Result(
            output,
            state.id,
            state.messages,
            state.budget.usage,
            state.budget.cost,
            state.wall_s,
            state.virtual_s,
            key,
        )
        with state.gate.busy():  # a pause waits until it is put down
            await _succeed(state, result)
    except BaseException as error:
        status = _status_of(state, error)
        if state.ledger.durable:
            state.ledger.put_fact(RunEndFact(state.id, status, None, _told(state, error), time.time()))
        _end(state, status, error)
        raise
    _end(state, "succeeded", None)
    return result


async def _body(runtime: Runtime, state: RunState, x: Job[Deps, In, Out], input: In, deps: Deps) -> Out:
    own_deadline = state.deadline if state.parent is None or state.deadline != state.parent.deadline else None
    try:
        async with asyncio.timeout_at(own_deadline) as timeout:
            async with asyncio.TaskGroup() as group:
                context = Context(runtime, state, deps, group)
                await state.gate.passed()
                if hasattr(x, "__run__"):
                    output = await x.__run__(context, input)
                else:
                    output = await x(context, input)
                state.inbox.close()  # at once: whatever is recorded from here on would not be delivered
    except BaseExceptionGroup as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__
    except TimeoutError:
        if not timeout.expired():
            raise
        raise LimitExceeded(f"run {state.id}: limit of time reached", limit="time") from None
    return output


def _begin(
    state: RunState, input: object, history: list[Message], key: str | None, record: RunRecord | None
) -> None:
    ledger = state.ledger
    if ledger.durable:
        if record is not None:
            ledger.put_fact(RunEndFact(state.id, "running", None, None, None))
            state.restore_interrupts(record)
        else:
            data = encode(
                {"input": input, "history": [message.to_json() for message in history]},
                f"the input of run {state.id}",
            )
            parent = state.parent.id if state.parent else None
            ledger.put_fact(
                RunFact(state.id, parent, key, state.kind, state.name, data, _app_version(), time.time())
            )
    state.emit(
        RunStarted(
            state.kind, state.name, state.parent.id if state.parent else None, resumed=record is not None
        )
    )


async def _succeed(state: RunState, result: Result[Out]) -> None:
    if not state.ledger.durable:
        return
    usage = result.usage
    data = {
        "output": result.value,
        "messages": [message.to_json() for message in result.messages],
        "usage": usage,
        "cost": result.cost,
        "virtual_s": result.virtual_s,
    }
    output = encode(data, f"the output of run {state.id}")
    state.ledger.put_fact(RunEndFact(state.id, "succeeded", output, None, time.time()))
    await state.ledger.barrier()


def _end(state: RunState, status: str, error: BaseException | None) -> None:
    state.finish(status, error)
    state.emit(RunFinished(status, (_told(state, error) or "")[:500] or None))
    if state.parent is None:
        state.feed.close()


def _told(state: RunState, error: BaseException | None) -> str | None:
    """Return an error as the journal and the events tell it: for a stopped run, why it was stopped."""
    if error is None:
        return None
    if isinstance(error, asyncio.CancelledError):
        return state.root.stop_reason or None
    return f"{type(error).__name__}: {error}"


def _status_of(state: RunState, error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return state.root.stop_as or "cancelled"
    return "limit" if isinstance(error, LimitExceeded) else "failed"


def _app_version() -> str:
    from agentflow._version import __version__

    return __version__


def stopped(state: RunState) -> RunError:
    """Return the error that tells whoever waits that the run was stopped from outside."""
    why = f": {state.stop_reason}" if state.stop_reason else ""
    return RunError(f"run {state.id} was {state.status}{why}")
