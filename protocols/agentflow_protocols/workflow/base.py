"""What the models of all sections share: names, durations, numbers, and that nothing is converted."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from agentflow_protocols.duration import parse_duration
from agentflow_protocols.errors import RemoteProtocolError

__all__ = [
    "BASE_URL", "FUNCTION", "PATTERNS", "TOOL_URL", "WHOLE", "Amount", "Count", "Duration", "Env", "Grace",
    "Name", "NameList", "Positive", "Section", "several",
]  # fmt: skip

NAME = r"^[a-z][a-z0-9_]*$"
FUNCTION = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"
WHOLE = r"^-?[0-9]{1,9}$"
_ENV = r"^[A-Za-z_][A-Za-z0-9_]*$"
BASE_URL = r"^https?://[^\s/?#@{}]+[^\s?#{}]*(\?api-version=[\w.-]+)?$"
TOOL_URL = r"^https?://[^\s/{}?#@]+([/?].*)?$"
PATTERNS = {
    NAME: "a name of lower-case letters, digits and _, beginning with a letter",
    FUNCTION: "module:function",
    WHOLE: "a whole number",
    _ENV: "the name of an environment variable",
    BASE_URL: "an http:// or https:// address without user, query and template",
    TOOL_URL: "an http:// or https:// address whose host is written out",
}


def _seconds(value: object) -> object:
    try:
        seconds = parse_duration(value) if isinstance(value, str) else 0.0
    except RemoteProtocolError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        number = isinstance(value, int | float | str) and re.fullmatch(r"\d+(\.\d+)?", str(value))
        hint = f" (did you mean `{value}s`?)" if number else ""
        raise ValueError(f"allowed is a duration such as 90s, 10m, 1h30m or PT1H30M{hint}")
    return seconds


def several(value: object) -> object:
    """Return a text as a list of one."""
    return [value] if isinstance(value, str) else value


Name: TypeAlias = Annotated[str, StringConstraints(pattern=NAME, max_length=64)]
Env: TypeAlias = Annotated[str, StringConstraints(pattern=_ENV, max_length=200)]
Duration: TypeAlias = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=str)]
Grace: TypeAlias = Annotated[
    float,
    BeforeValidator(
        lambda value: 0.0 if type(value) is int and value == 0 else _seconds(value),
        json_schema_input_type=str | Literal[0],
    ),
]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
NameList: TypeAlias = Annotated[
    list[Name], BeforeValidator(several, json_schema_input_type=Name | list[Name])
]


class Section(BaseModel):
    """A section of a file: no unknown keys, no conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
