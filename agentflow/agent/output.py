"""What an agent's answer must be: text, a type that pydantic knows, or a JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Generic, TypeVar, cast

from agentflow.errors import RemoteProtocolError, UserError
from agentflow.tools import schema_faults
from agentflow_protocols.chat import Json

__all__ = ["Invalid", "JsonSchema", "OutputType"]

Out = TypeVar("Out")

_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


class Invalid(RemoteProtocolError):
    """An answer that does not follow the output's type; the message tells the model why."""


class JsonSchema:
    """A JSON Schema as an output: the answer is checked by it and given as plain JSON."""

    def __init__(self, schema: Mapping[str, Json], name: str = "output") -> None:
        self.schema = schema
        self.name = name


class OutputType(Generic[Out]):
    """Reads answers as `Out`. A type whose schema is no object travels as `{"value": …}`."""

    def __init__(self, kind: type[Out] | JsonSchema) -> None:
        self.kind = kind
        name = kind.name if isinstance(kind, JsonSchema) else getattr(kind, "__name__", "output")
        self.name = re.sub(r"\W+", "_", name)
        self.schema: Mapping[str, Json] | None = None
        self._wrapped = False
        self._adapter = None
        if kind is str:
            return
        if isinstance(kind, JsonSchema):
            schema = dict(kind.schema)
        else:
            import pydantic

            try:
                self._adapter = pydantic.TypeAdapter(kind)
                schema = cast("dict[str, Json]", self._adapter.json_schema())
            except pydantic.PydanticUserError as error:
                raise UserError(f"output {kind!r} has no JSON form: {str(error).splitlines()[0]}") from None
        self._wrapped = schema.get("type") != "object"
        if self._wrapped:
            definitions = schema.pop("$defs", None)
            schema = {
                "type": "object",
                "properties": {"value": schema},
                "required": ["value"],
                "additionalProperties": False,
            }
            if definitions:
                schema["$defs"] = definitions
        self.schema = schema

    def read(self, text: str) -> Out:
        """Return the answer `text` as the output; raises Invalid with what is wrong, for the model."""
        if self.schema is None:
            return cast("Out", text)
        fenced = _FENCE.match(text)
        try:
            value = json.loads(fenced.group(1) if fenced else text)
        except ValueError as error:
            raise Invalid(f"not JSON ({error})") from None
        if self._wrapped:
            if not isinstance(value, dict) or "value" not in value:
                raise Invalid('not an object of the form {"value": …}')
            value = value["value"]
        if self._adapter is None:
            faults = schema_faults(value, cast("JsonSchema", self.kind).schema)
            if faults:
                raise Invalid("; ".join(faults[:5]))
            return cast("Out", value)
        import pydantic

        try:
            return self._adapter.validate_json(json.dumps(value))
        except pydantic.ValidationError as error:
            faults = [
                f"{'.'.join(str(part) for part in fault['loc']) or 'answer'}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_context=False)
            ]
            raise Invalid("; ".join(faults[:5])) from None
