"""What came of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentflow.batch.completed import read_output
from agentflow_protocols.chat import Json

__all__ = ["BatchReport"]


@dataclass(slots=True)
class BatchReport:
    """The figures of a batch, those of earlier sittings in `answered`, `failed` and `skipped_finished` alone.

    `answered` prompts have an answer of a model, `failed` ones ended in an error, `unasked` ones
    were left for another sitting, and `stopped` says why. `skipped_finished` were answered before.
    `requests` were sent, `rate_limited` of them refused; `rate_used` (0 to 1) is of the limit that
    bound most, None where there was no limit. `tokens` are in and out together, `cost` is in USD.
    """

    prompts: int = 0
    answered: int = 0
    failed: int = 0
    skipped_finished: int = 0
    requests: int = 0
    rate_limited: int = 0
    wall_s: float = 0.0
    rate_used: float | None = None
    tokens: int = 0
    cost: float | None = 0.0
    output: str = ""
    unasked: int = 0
    stopped: str | None = None
    errors: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    def records(self) -> Iterator[dict[str, Json]]:
        """Read the lines of the output."""
        return read_output(Path(self.output))
