"""Replies of the Gemini generateContent dialect, streamed and whole. Sans-IO.

Each event of a stream has the form of a whole reply, with the next parts; a call comes
whole. The stream ends without a mark. Parts of unknown kinds are passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from pydantic_core import from_json

from agentflow_protocols.chat.draft import Draft, EventReader, count, items, json_object, mapping, string
from agentflow_protocols.chat.messages import Delta, Json, Reply, ToolCall, Usage
from agentflow_protocols.chat.server_error import ErrorReply, ServerError, parse_error, server_error
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["ContentDecoder", "content_reader", "parse_content", "parse_content_error"]

_FILTERED = frozenset(
    (
        *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "JAILBREAK"),
    )
)
_BROKEN = frozenset(  # the model wrote what the server could not read: the same request may do better
    (
        *("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"),
        *("MISSING_THOUGHT_SIGNATURE",),
    )
)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


class ContentDecoder:
    """Read the events of one reply."""

    __slots__ = ("done", "draft")

    def __init__(self) -> None:
        self.draft = Draft()
        self.done = False

    def event(self, event: Mapping[str, object], out: list[Delta]) -> None:
        """Add the deltas of one event to `out`. Raises `ErrorReply` for an error."""
        if event.get("error"):
            raise ErrorReply(_content_error(event))
        draft = self.draft
        draft.model = draft.model or string(event.get("modelVersion"))
        usage = event.get("usageMetadata")
        if isinstance(usage, Mapping):
            draft.usage = _usage(usage)
        candidates = items(event.get("candidates"))
        if not candidates:
            feedback = mapping(event.get("promptFeedback"))
            if feedback.get("blockReason"):
                why = string(feedback.get("blockReasonMessage")) or string(feedback.get("blockReason"))
                draft.refusal = f"the prompt was blocked: {why}"
                draft.finish = "content_filter"
            return
        for each in candidates:
            candidate = mapping(each)
            number = count(candidate.get("index"))
            if number:
                self._candidate(draft.others.setdefault(number, Draft()), candidate, [])
            else:
                self._candidate(draft, candidate, out)

    def end(self, out: list[Delta]) -> None:
        """Do nothing: a reply without a reason for its end is cut."""

    def _candidate(self, draft: Draft, candidate: Mapping[str, object], out: list[Delta]) -> None:
        for part in items(mapping(candidate.get("content")).get("parts")):
            self._part(draft, mapping(part), out)
        for each in items(candidate.get("safetyRatings")):
            rating = mapping(each)
            blocked = rating.get("blocked") is True
            draft.safety[string(rating.get("category"))] = (string(rating.get("probability")), blocked)
        reason = string(candidate.get("finishReason"))
        if reason and reason != "FINISH_REASON_UNSPECIFIED":
            self._close(draft, reason, string(candidate.get("finishMessage")))

    def _part(self, draft: Draft, part: Mapping[str, object], out: list[Delta]) -> None:
        signature = string(part.get("thoughtSignature"))
        call = part.get("functionCall")
        if isinstance(call, Mapping):
            index = draft.begin(string(call.get("name")), out)
            arguments = json.dumps(call.get("args") or {}, ensure_ascii=False)
            extra: dict[str, Json] | None = {"gemini": signature} if signature else None
            identity = string(call.get("id"))
            draft.ready(index, ToolCall(identity, string(call.get("name")), arguments, extra), out)
            return
        text = string(part.get("text"))
        if part.get("thought") is True:
            draft.think(text, out)
        else:
            draft.say(text, out)
        if signature:
            draft.extra = {"gemini": signature}

    def _close(self, draft: Draft, reason: str, message: str) -> None:
        if reason in _BROKEN:
            raise RemoteProtocolError(
                f"the reply ended with {reason}{': ' if message else ''}{message[:200]}"
            )
        if reason in _FILTERED:
            draft.refusal = message or f"the reply was blocked: {reason}"
            draft.finish = "content_filter"
        else:
            draft.finish = "length" if reason == "MAX_TOKENS" else "stop"


def content_reader() -> EventReader:
    """Return a reader of one streamed reply."""
    return EventReader(ContentDecoder())


def parse_content(body: bytes) -> Reply:
    """Read a whole, not streamed reply.

    Raises `ErrorReply` for an error object, `RemoteProtocolError` for what is no reply.
    """
    decoder = ContentDecoder()
    decoder.event(json_object(body), [])
    finish = decoder.draft.ended
    if finish is None:
        raise RemoteProtocolError("the reply has no candidate that ended")
    return decoder.draft.reply(finish)


def parse_content_error(body: bytes) -> ServerError:
    """Return what an error body says: a limit of some minutes is told from a quota that is used up."""
    try:
        data = from_json(body)
    except ValueError:
        return parse_error(body)
    return _content_error(data)


def _content_error(data: object) -> ServerError:
    error = server_error(data)
    if error.type != "RESOURCE_EXHAUSTED":
        return error
    if isinstance(data, list) and data:
        data = data[0]
    quotas: list[str] = []
    wait: float | None = None
    for each in items(mapping(mapping(data).get("error")).get("details")):
        detail = mapping(each)
        delay = _SECONDS.fullmatch(string(detail.get("retryDelay")))
        if delay is not None:
            wait = float(delay[1])
        quotas += [string(mapping(one).get("quotaId")) for one in items(detail.get("violations"))]
    if any("PerDay" in quota for quota in quotas):
        return replace(error, code="insufficient_quota")
    # The words are those of an empty account, whatever the limit: they would say too much.
    limits = ", ".join(quota for quota in quotas if quota) or "requests or tokens"
    return replace(error, message=f"rate limit reached: {limits}", retry_after=wait)


def _usage(data: Mapping[str, object]) -> Usage:
    thoughts = count(data.get("thoughtsTokenCount"))
    return Usage(
        count(data.get("promptTokenCount")) + count(data.get("toolUsePromptTokenCount")),
        count(data.get("candidatesTokenCount")) + thoughts,
        count(data.get("cachedContentTokenCount")),
        thoughts,
        1,
    )
