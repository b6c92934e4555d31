"""What a plan's steps gave, by step or by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast, overload

from agentflow.errors import UserError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

    from agentflow.plan.step import Step

__all__ = ["Outputs"]

T = TypeVar("T")


class Outputs(dict[str, object]):
    """The value of each step that has ended well, by its name; `outputs[step]` has the step's type.

    A step that was skipped has None.
    """

    @overload
    def __getitem__(self, step: Step[T], /) -> T: ...

    @overload
    def __getitem__(self, step: str, /) -> object: ...

    def __getitem__(self, step: Step[T] | str, /) -> T | object:
        """Return what a step gave. Raises `UserError` for one that gave nothing."""
        name = step if isinstance(step, str) else step.name
        try:
            return cast("T", super().__getitem__(name))
        except KeyError:
            there = ", ".join(list(self)[:12]) or "none"
            raise UserError(f"step {name!r} has given nothing (there are: {there})") from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read a journal's JSON as outputs."""
        from pydantic_core import core_schema

        make: Callable[[dict[str, object]], Outputs] = cls
        return core_schema.no_info_after_validator_function(make, handler(dict[str, object]))
