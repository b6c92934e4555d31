"""What fakes and test servers may be told to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from agentflow.builtin.scripted import ScriptedCall, ScriptedReply
from agentflow.errors import EndpointError, UserError
from agentflow_protocols.chat.messages import Json, Reply

__all__ = ["Answer", "as_reply"]

Answer: TypeAlias = (
    str | ScriptedReply | Reply | ScriptedCall | Sequence[ScriptedCall] | Mapping[str, Json] | EndpointError
)
"""Text, calls, both (a `ScriptedReply`, a whole `Reply`, or the mapping of a script file), or an error."""


def as_reply(answer: Answer) -> ScriptedReply:
    """Return `answer` as a scripted reply. Raises `UserError` for what is none."""
    match answer:
        case ScriptedReply():
            return answer
        case str():
            return ScriptedReply(text=answer)
        case ScriptedCall():
            return ScriptedReply(calls=[answer])
        case EndpointError():
            return ScriptedReply(error=answer)
        case Reply():
            calls = [ScriptedCall(call.name, call.arguments, call.id) for call in answer.message.calls]
            message = answer.message
            return ScriptedReply(message.text, calls, message.reasoning or "", finish=answer.finish)
        case Mapping():
            return _from_mapping(answer)
        case Sequence() if all(isinstance(call, ScriptedCall) for call in answer):
            return ScriptedReply(calls=[call for call in answer if isinstance(call, ScriptedCall)])
    raise UserError(f"no reply can be made of {type(answer).__name__}")


def _from_mapping(answer: Mapping[str, Json]) -> ScriptedReply:
    values: dict[str, object] = dict(answer)
    calls = values.pop("calls", ())
    try:
        if isinstance(calls, Sequence):
            values["calls"] = [ScriptedCall(**call) for call in calls]
        return ScriptedReply(**values)  # type: ignore[arg-type]
    except TypeError as error:
        raise UserError(f"no scripted reply: {error}") from None
