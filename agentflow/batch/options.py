"""How a batch is run: what prompto's flags say, and more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agentflow.errors import UserError
from agentflow_protocols.chat import Json

__all__ = ["BatchOptions", "Resume"]

Resume = Literal["auto", "resume", "fresh"]


@dataclass(slots=True, frozen=True)
class BatchOptions:
    """How to run a batch.

    `max_queries` is requests a minute for each queue, None to learn limits from the answers;
    with `parallel` a queue is a group, or an api, or a model that `rates` names (prompto's
    `max_queries_dict`), else all prompts are one. `max_attempts` is how often a request is sent
    at most. `resume`: `auto` goes on with a start that is unfinished, `resume` also with one whose
    input has changed, `fresh` begins anew. `in_order` also writes the output in the input's order,
    `table` as CSV. `tokens` and `usd` are what may be spent in all. `timeout` is seconds for one answer;
    None lets it follow what answers take. `flights` bounds the prompts under way.
    `deferred` asks by the provider's batch API.
    """

    max_queries: float | None = None
    max_attempts: int = 5
    parallel: bool = False
    rates: Mapping[str, Json] = field(default_factory=dict)
    tokens_per_minute: float | None = None
    concurrency: int | None = None
    tokens: float | None = None
    usd: float | None = None
    timeout: float | None = None
    resume: Resume = "auto"
    in_order: bool = False
    table: bool = False
    flights: int | None = None
    deferred: bool = False

    def __post_init__(self) -> None:
        for name in ("max_queries", "max_attempts", "tokens_per_minute", "concurrency", "timeout", "flights"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"{name} must be above 0 and finite, not {value!r}")
