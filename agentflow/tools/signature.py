"""The parameters of a Python function, as a JSON Schema and as a validator.

The signature is read when the tool is made, so that its mistakes show there. The
annotations are resolved and pydantic is imported at the first use.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, cast

from agentflow.errors import ToolRetry, UserError
from agentflow.tools.faults import fault_line
from agentflow_protocols.chat.messages import Json

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

__all__ = ["SignatureParameters"]

_CONTEXT = re.compile(r"(\w+\.)*Context(\[.*\])?", re.DOTALL)


class SignatureParameters:
    """What a model may pass to `function`: every parameter but a leading `Context`.

    Raises `UserError` for a signature that no JSON object can fill.
    """

    def __init__(self, tool: str, function: Callable[..., object]) -> None:
        self._tool = tool
        self._globals = _globals_of(function)
        parameters = _parameters(function)
        self._names = _visible_names(function, parameters, self._globals)
        self.takes_context = bool(parameters) and self._is_context(parameters[0].annotation)
        self._parameters = parameters[1:] if self.takes_context else parameters
        for parameter in self._parameters:
            self._refuse(parameter)
        self._doc = inspect.getdoc(function) or ""

    @property
    def description(self) -> str:
        """The docstring without its section of arguments."""
        return self._described[0]

    @cached_property
    def schema(self) -> Mapping[str, Json]:
        """The JSON Schema of the arguments object."""
        from pydantic.errors import PydanticInvalidForJsonSchema
        from pydantic.json_schema import GenerateJsonSchema

        class Untitled(GenerateJsonSchema):
            def field_title_should_be_set(self, schema: object) -> bool:
                return False

        try:
            schema = self._model.model_json_schema(schema_generator=Untitled)
        except PydanticInvalidForJsonSchema as error:
            raise self._unfit(error) from None
        schema.pop("title", None)
        schema.setdefault("properties", {})
        return cast("Mapping[str, Json]", schema)

    def validate(self, arguments: str) -> dict[str, object]:
        """Return the keywords for the function, from a JSON object's text.

        Raises `ToolRetry` whose one line says what is wrong and what is allowed.
        """
        from pydantic import ValidationError

        try:
            values = self._model.model_validate_json(arguments.strip() or "{}")
        except ValidationError as error:
            names = [parameter.name for parameter in self._parameters]
            raise ToolRetry(fault_line(self._tool, error.errors(include_url=False), names)) from None
        return {parameter.name: getattr(values, f"p{i}") for i, parameter in enumerate(self._parameters)}

    @cached_property
    def _described(self) -> tuple[str, dict[str, str]]:
        if "\n" not in self._doc:
            return self._doc, {}
        from docstring_parser import ParseError, parse

        try:
            doc = parse(self._doc)
        except ParseError:
            return self._doc, {}
        text = "\n\n".join(part for part in (doc.short_description, doc.long_description) if part)
        return text, {p.arg_name: " ".join((p.description or "").split()) for p in doc.params}

    @cached_property
    def _model(self) -> type[BaseModel]:
        from pydantic import ConfigDict, create_model
        from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

        fields = {f"p{i}": self._field(parameter) for i, parameter in enumerate(self._parameters)}
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=False, protected_namespaces=())
        try:
            return cast("type[BaseModel]", create_model(self._tool, __config__=config, **fields))  # type: ignore[call-overload]
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise self._unfit(error) from None

    def _field(self, parameter: inspect.Parameter) -> tuple[object, FieldInfo]:
        from pydantic import Field
        from pydantic.fields import FieldInfo

        kind = self._resolve(parameter)
        default = parameter.default
        if default is parameter.empty:
            field = Field(alias=parameter.name)
        elif isinstance(default, FieldInfo):
            kind, field = typing.Annotated[kind, default], Field(alias=parameter.name)
            if not default.is_required():
                field = Field(default=default.get_default(call_default_factory=True), alias=parameter.name)
        else:
            field = Field(default=default, alias=parameter.name)
        described = self._described[1].get(parameter.name)
        if described and not (typing.get_origin(kind) is typing.Annotated and _has_description(kind)):
            field.description = described
            field._attributes_set["description"] = described
        return kind, field

    def _resolve(self, parameter: inspect.Parameter) -> object:
        annotated = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
        try:
            return typing.get_type_hints(annotated, self._globals, self._names, include_extras=True)["it"]
        except Exception as error:
            raise UserError(
                f"tool `{self._tool}`: the annotation of `{parameter.name}` can't be resolved: {error}"
            ) from None

    def _is_context(self, annotation: object) -> bool:
        text = getattr(annotation, "__forward_arg__", annotation)
        if isinstance(text, str):
            if not _CONTEXT.fullmatch(text.strip()):
                return False
            name = text.partition("[")[0].strip()
            try:
                annotation = eval(name, self._globals, self._names)
            except (NameError, AttributeError):
                return True  # imported for type checkers alone
        kind = typing.get_origin(annotation) or annotation
        return getattr(kind, "__name__", "") == "Context" and str(getattr(kind, "__module__", "")).startswith(
            "agentflow."
        )

    def _refuse(self, parameter: inspect.Parameter) -> None:
        where = f"tool `{self._tool}`: parameter `{parameter.name}`"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            star = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise UserError(f"{where}: `{star}{parameter.name}` has no JSON form; name each parameter")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise UserError(f"{where} is positional only, but arguments come by name; move the `/` before it")
        if parameter.annotation is parameter.empty:
            hint = "decorate a bound method" if parameter.name in ("self", "cls") else "add its type"
            raise UserError(f"{where} has no annotation; {hint}")
        if self._is_context(parameter.annotation):
            raise UserError(f"{where}: the Context must be the first parameter")

    def _unfit(self, error: Exception) -> UserError:
        line = str(error).strip().splitlines()[0].rstrip(".")
        return UserError(f"tool `{self._tool}`: a parameter has no JSON form: {line}")


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    if sys.version_info >= (3, 14):
        import annotationlib

        form = annotationlib.Format.FORWARDREF
        return list(inspect.signature(function, annotation_format=form).parameters.values())
    return list(inspect.signature(function).parameters.values())


def _globals_of(function: Callable[..., object]) -> dict[str, object]:
    inner = inspect.unwrap(function)
    while hasattr(inner, "func"):
        inner = inspect.unwrap(inner.func)
    if not inspect.isroutine(inner):
        inner = type(inner).__call__
    return cast("dict[str, object]", getattr(inner, "__globals__", {}))


def _visible_names(
    function: Callable[..., object], parameters: list[inspect.Parameter], known: Mapping[str, object]
) -> dict[str, object]:
    """Return the local names of the defining function that annotations written as text use."""
    wanted: set[str] = set()
    for parameter in parameters:
        text = getattr(parameter.annotation, "__forward_arg__", parameter.annotation)
        if isinstance(text, str):
            wanted.update(re.findall(r"[^\W\d]\w*", text))
    wanted -= known.keys()
    found: dict[str, object] = {}
    frame = sys._getframe(1) if wanted else None
    while frame is not None and wanted:
        module = str(frame.f_globals.get("__name__", ""))
        if not module.startswith("agentflow.tools") and frame.f_globals is known:
            names = frame.f_locals
            found.update({name: names[name] for name in wanted if name in names})
            wanted -= found.keys()
        frame = frame.f_back
    return found


def _has_description(kind: object) -> bool:
    return any(getattr(item, "description", None) for item in getattr(kind, "__metadata__", ()))
