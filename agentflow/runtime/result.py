"""What a run came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from agentflow_protocols.chat import Message, Usage

__all__ = ["Result"]

T = TypeVar("T")


@dataclass(slots=True)
class Result(Generic[T]):
    """The output of a run and what it took.

    `cost` is USD, None when a price is unknown; `virtual_s` is None on the wall
    clock. `error` is only set on results of `runtime.map`, whose `output` then
    raises it.
    """

    value: T | None
    run_id: str
    messages: list[Message] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    wall_s: float = 0.0
    virtual_s: float | None = None
    key: str | None = None
    error: Exception | None = None

    @property
    def output(self) -> T:
        """The output."""
        if self.error is not None:
            raise self.error
        return cast("T", self.value)
