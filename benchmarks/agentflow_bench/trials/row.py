"""Row: what is kept of one case; a line of JSON, the same for every bench.

Every line has `id`, `by`, `right`, `fault`, `error`, `figures`, `tokens`, `input_tokens`,
`output_tokens`, `requests`, `cost`, `seconds` and `wall_s`; what a bench keeps besides (a prompt,
an answer, a trace) stands beside them under names of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from agentflow.errors import UserError
from agentflow.runtime import Result
from agentflow_bench.trials.trial import Case, Score
from agentflow_protocols.chat import Json

__all__ = ["Row", "read_rows", "row_of"]

Task = TypeVar("Task")


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one case, and what it took.

    `error` is set where there is no answer, since a part of the machinery failed: it is tried
    again by the same command. `seconds` are those of the trial's clock, `cost` is USD, None when a
    price is unknown.
    """

    id: str
    by: Mapping[str, str | int] = field(default_factory=dict)
    right: bool = False
    fault: str | None = None
    error: str | None = None
    figures: Mapping[str, float | bool | None] = field(default_factory=dict)
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    wall_s: float = 0.0
    detail: Mapping[str, Json] = field(default_factory=dict)

    def as_line(self) -> str:
        """Return its line, with what the bench keeps beside the rest."""
        own = {name: getattr(self, name) for name in _KEYS}
        return json.dumps({**own, **self.detail}, ensure_ascii=False)


_KEYS = tuple(name for name in Row.__slots__ if name != "detail")


def row_of(case: Case[Task], result: Result[Score]) -> Row:
    """Return the row of a case from the result of its run."""
    if result.error is not None:
        text = " ".join(f"{type(result.error).__name__}: {result.error}".split())[:300]
        return Row(case.id, case.by, error=text)
    score = result.output
    clash = [name for name in score.detail if name in _KEYS]
    if clash:
        raise UserError(
            f"case {case.id}: a detail is called {clash[0]!r}, as a part of every row is; rename it"
        )
    usage = result.usage
    return Row(
        case.id,
        case.by,
        score.right,
        score.fault,
        None,
        score.figures,
        usage.total_tokens,
        usage.input_tokens,
        usage.output_tokens,
        usage.requests,
        result.cost,
        round(result.wall_s if result.virtual_s is None else result.virtual_s, 4),
        round(result.wall_s, 4),
        score.detail,
    )


class _Line(BaseModel):
    """A line of a file, whatever else the bench keeps in it."""

    model_config = ConfigDict(strict=True, extra="allow")

    id: str
    by: dict[str, str | int]
    right: bool
    figures: dict[str, bool | int | float | None]
    fault: str | None = None
    error: str | None = None
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    wall_s: float = 0.0


def read_rows(file: Path) -> list[Row]:
    """Return the rows of a file. Raises `UserError` with the line of what is none."""
    rows: list[Row] = []
    try:
        lines = file.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            read = _Line.model_validate(json.loads(line, parse_constant=_none))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise UserError(f"{file}:{number}: no row of a bench: {place}: {first['msg']}") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}:{number}: no row of a bench: {error}") from None
        own = {name: getattr(read, name) for name in _KEYS}
        rows.append(Row(**own, detail=cast("Mapping[str, Json]", read.model_extra)))
    if not rows:
        raise UserError(f"{file}: it holds no rows")
    return rows


def _none(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")
