"""One prompt, asked: its turns, its media, its retries, and what its line gets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agentflow.batch.store import Known, Store
from agentflow.endpoints import Admitted, Decision, Endpoint, Retrying
from agentflow.errors import EndpointError, LimitExceeded, QuotaExhausted, RateLimited, UserError
from agentflow.runtime.ledger import decode, encode
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat import ChatRequest, Json, Message, Reply, Usage
from agentflow_protocols.experiment import (
    TIMESTAMP,
    Ask,
    ExperimentError,
    Record,
    ask_of,
    data_url,
    error_text,
    with_media,
)

__all__ = ["Asker", "Outcome", "Scorer", "failure"]

PRIORITY = -1  # below every agent's requests
DEFERRED_PRICE = 0.5  # of the price, by the batch APIs of OpenAI, Azure, Anthropic and Gemini
Scorer = Callable[[Mapping[str, Json]], Mapping[str, Json]]
"""Told a completed line, returns what is added to it."""


@dataclass(slots=True)
class Outcome:
    """What came of a prompt: what its line gets, and what it took in this sitting."""

    added: dict[str, Json]
    failed: bool = False
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    refused: int = 0
    final: EndpointError | None = None
    """An error that every further prompt of the endpoint would end in, too."""


@dataclass(slots=True)
class _Attempt:
    """What is known of a prompt while it is asked."""

    sent: float | None = None
    attempts: int = 0
    seconds: float = 0.0
    outcome: Outcome = field(default_factory=lambda: Outcome({}))
    model: str = ""
    finish: str = ""
    name: str = ""
    calls: list[dict[str, Json]] = field(default_factory=list)
    safety: list[dict[str, Json]] = field(default_factory=list)

    def take(self, api: str, reply: Reply) -> None:
        """Keep what a reply says beside its text: calls, and for Gemini how harmful it may be."""
        self.calls += [{"name": c.name, "arguments": c.arguments, "id": c.id} for c in reply.message.calls]
        if api in ("gemini", "vertexai"):
            attributes: dict[str, Json] = {name: how for name, (how, _) in reply.safety.items()}
            attributes["blocked"] = str([blocked for _, blocked in reply.safety.values()])
            attributes["finish_reason"] = _ENDS.get(reply.finish, reply.finish.upper())
            self.safety.append(attributes)


_ENDS = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}  # as Gemini names them


class Asker:
    """Asks the prompts of one lane."""

    def __init__(
        self,
        endpoint: Endpoint,
        store: Store,
        resources: Resources,
        threads: Executor,
        *,
        media: Path,
        api: str | None = None,
        group: str = "",
        scorers: Sequence[Scorer] = (),
    ) -> None:
        self.endpoint = endpoint
        self._store = store
        self._resources = resources
        self._threads = threads
        self._media = media
        self._api = api
        self._group = group
        self._scorers = scorers

    async def ask(self, record: Record, known: Known | None, admitted: Callable[[], None]) -> Outcome:
        """Ask the prompt and return what came of it; `admitted` is called when a request goes out.

        Never raises for what is wrong with a prompt or its endpoint. A `LimitExceeded` is raised:
        it is no fault of the prompt, which stays unasked.
        """
        now = _Attempt()
        try:
            ask = ask_of(self._addressed(record))
            loaded = await self._load(ask)
            response = await self._converse(record, ask, loaded, known, now, admitted)
        except LimitExceeded:
            raise
        except (ExperimentError, OSError, UserError) as error:
            return _unaskable(error)
        except EndpointError as error:
            return self._refused(error, now)
        return self._answered(record, ask, response, now)

    def _addressed(self, record: Record) -> Record:
        """Return the record with the api that the lane's endpoint speaks, where it names none."""
        if self._api is None:
            return record
        values: dict[str, Json] = {"model_name": self.endpoint.name, **record.values, "api": self._api}
        return Record(record.line, values)

    async def _load(self, ask: Ask) -> list[str]:
        """Return the data URLs of the prompt's media. Raises `OSError` or `UserError`."""
        root = self._media.resolve()
        loaded: list[str] = []
        for media in ask.media:
            path = (root / media.path).resolve()
            if not path.is_relative_to(root):
                raise UserError(f"media file {media.path!r} lies outside {self._media}; put it there")
            try:
                data = await asyncio.get_running_loop().run_in_executor(self._threads, path.read_bytes)
            except FileNotFoundError:
                raise FileNotFoundError(f"no media file {self._media / media.path}") from None
            loaded.append(data_url(media.path, data))
        return loaded

    async def _converse(
        self,
        record: Record,
        ask: Ask,
        loaded: Sequence[str],
        known: Known | None,
        now: _Attempt,
        admitted: Callable[[], None],
    ) -> list[Json]:
        """Go through the turns and return the text of each answer; turns answered before are not asked."""
        history: list[Message] = []
        texts: list[Json] = []
        before = [turn for hashed, turn in known.turns if hashed == record.hash] if known else []
        for number, turn in enumerate(ask.turns, 1):
            history += with_media(turn, loaded)
            if number <= len(before):
                text: Json = decode(before[number - 1])  # type: ignore[assignment]
            else:
                reply = await self._one(record, ask, history, number, now, admitted)
                text = _texts(ask, reply)
                if number < len(ask.turns):
                    self._store.turn(record.line, number, record.hash, text)
            texts.append(text)
            history.append(Message("assistant", text if isinstance(text, str) else str(text[0])))  # type: ignore[index]
        return texts

    async def _one(
        self,
        record: Record,
        ask: Ask,
        history: list[Message],
        number: int,
        now: _Attempt,
        admitted: Callable[[], None],
    ) -> Reply:
        """Send one turn, again where it fails, and return the reply."""

        def take(decision: Decision) -> None:
            if isinstance(decision, Admitted):
                if now.sent is None:
                    now.sent = time.time()
                    self._store.asked(record.line, record.hash)
                admitted()
            elif isinstance(decision, Retrying):
                now.outcome.refused += isinstance(decision.error, RateLimited)

        request = self._request(record, ask, history, number)
        stream = self.endpoint.stream(
            request, resources=self._resources, on_event=take, priority=PRIORITY, whole=True
        )
        try:
            async with stream:
                async for _ in stream:
                    pass
        finally:
            now.attempts += stream.attempts
            now.seconds += stream.seconds
            now.name = stream.model
        reply, cost, outcome = stream.reply, stream.cost, now.outcome
        outcome.usage.add(reply.usage)
        outcome.cost = None if cost is None or outcome.cost is None else outcome.cost + cost
        now.finish, now.model = reply.finish, reply.model
        now.take(ask.api, reply)
        return reply

    def _request(self, record: Record, ask: Ask, history: Sequence[Message], number: int) -> ChatRequest:
        return ChatRequest(
            [] if ask.mode == "completion" else list(history),
            settings=ask.settings,
            prompt=history[-1].text if ask.mode == "completion" else None,
            idempotency_key=f"{self._store.run}-{record.line}-{number}-{record.hash[:12]}",
            group=self._group,
        )

    async def request_of(self, record: Record) -> ChatRequest | Outcome | None:
        """Return the one request of a prompt, None for one of several turns, or why it can't be asked."""
        try:
            ask = ask_of(self._addressed(record))
            if len(ask.turns) > 1:
                return None
            return self._request(record, ask, with_media(ask.turns[0], await self._load(ask)), 1)
        except (ExperimentError, OSError, UserError) as error:
            return _unaskable(error)

    def taken(self, record: Record, result: Reply | EndpointError, sent: float) -> Outcome:
        """Return the outcome of a prompt that a provider's batch answered, handed in at `sent`."""
        now = _Attempt(sent=sent, attempts=1, name=self.endpoint.name)
        if isinstance(result, EndpointError):
            return self._refused(result, now)
        usage = result.usage
        usage.requests = 1
        cost = self.endpoint.cost(usage)
        now.outcome.usage.add(usage)
        now.outcome.cost = None if cost is None else cost * DEFERRED_PRICE
        now.finish, now.model, now.seconds = result.finish, result.model, time.time() - sent
        ask = ask_of(self._addressed(record))
        now.take(ask.api, result)
        return self._answered(record, ask, [_texts(ask, result)], now)

    def _refused(self, error: EndpointError, now: _Attempt) -> Outcome:
        """Return the outcome of a prompt that an endpoint did not answer."""
        outcome = now.outcome
        outcome.refused += isinstance(error, RateLimited)
        if isinstance(error, QuotaExhausted) or error.status in (401, 403):
            outcome.final = error
        failed = failure(type(error).__name__, str(error), now.attempts, outcome)
        if now.sent is not None:
            failed.added = {"timestamp_sent": _stamp(now.sent), **failed.added}
        failed.added["endpoint"] = now.name
        failed.usage.requests = max(failed.usage.requests, now.attempts)
        return failed

    def _answered(self, record: Record, ask: Ask, texts: list[Json], now: _Attempt) -> Outcome:
        """Return the outcome of a prompt that was answered."""
        outcome = now.outcome
        usage = outcome.usage
        sent = time.time() if now.sent is None else now.sent
        added = outcome.added
        added["timestamp_sent"] = _stamp(sent)
        if ask.api in ("quart", "huggingface-tgi"):
            added["model"] = now.model
        added["response"] = texts if ask.as_list else texts[0]
        if now.safety:
            added["safety_attributes"] = now.safety if ask.as_list else now.safety[0]
        if now.calls:
            added["tool_calls"] = now.calls
        for scorer in self._scorers:
            try:
                score = encode(dict(scorer({**record.values, **added})), "a score")
                added.update(decode(score))  # type: ignore[call-overload]
            except Exception as error:  # the answer was paid for: it is kept
                added["scorer_error"] = f"{type(error).__name__}: {error}"
        added["usage"] = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cached_tokens": usage.cached_tokens,
        }
        added["cost"] = outcome.cost
        added["finish_reason"] = now.finish
        added["latency_s"] = round(now.seconds, 3)
        added["attempts"] = now.attempts
        added["endpoint"] = now.name
        added["timestamp_received"] = _stamp(time.time())
        return outcome


def failure(kind: str, message: str, attempts: int, outcome: Outcome | None = None) -> Outcome:
    """Return the outcome of a prompt that ended in an error, with prompto's text as its response."""
    outcome = outcome or Outcome({})
    retried = attempts if attempts > 1 else None
    outcome.failed = True
    outcome.added = {
        "response": error_text(kind, message, retried),
        "error": {"type": kind, "message": message, "attempts": attempts},
        "timestamp_received": _stamp(time.time()),
    }
    return outcome


def _unaskable(error: Exception) -> Outcome:
    kind = "ValueError" if isinstance(error, ExperimentError) else type(error).__name__
    return failure(kind, str(error), 0)


def _texts(ask: Ask, reply: Reply) -> Json:
    """Return what a reply says: its text, or those of all answers where several were asked for."""
    texts: list[Json] = [message.text or message.refusal or "" for message in (reply.message, *reply.others)]
    return texts if ask.samples > 1 else texts[0]


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime(TIMESTAMP)
