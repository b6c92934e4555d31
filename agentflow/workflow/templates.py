"""Templates of a workflow: Jinja2 in a sandbox, names checked before anything runs.

`a.items` means the key before the method; a value that is one whole `{{ … }}`
keeps its type; what a template gives is never rendered again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, cast

from agentflow.errors import UserError
from agentflow_protocols.chat import Json
from agentflow_protocols.duration import format_seconds
from agentflow_protocols.workflow import did_you_mean, one_of

if TYPE_CHECKING:
    from jinja2 import Template, nodes
    from jinja2.environment import TemplateExpression
    from jinja2.sandbox import SandboxedEnvironment

__all__ = [
    "Fault",
    "Names",
    "is_whole",
    "keys_used",
    "pairs_used",
    "render",
    "step_faults",
    "template_faults",
]

Names = Mapping[str, "frozenset[str] | None"]
"""The names that a template may use; for a mapping with known keys, these keys."""

Fault = tuple[str, "str | None"]
"""What is wrong with a template, and the text in it that it is about."""


def render(value: Json, names: Mapping[str, object], where: str) -> Json:
    """Return `value` with every template in it, at any depth, rendered with `names`.

    Raises `UserError` that says where, when a template can't be rendered.
    """
    if isinstance(value, str):
        return _render_text(value, names, where)
    if isinstance(value, Mapping):
        return {key: render(child, names, f"{where}.{key}") for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [render(child, names, f"{where}[{i}]") for i, child in enumerate(value)]
    return value


def template_faults(text: str, names: Names) -> Iterator[Fault]:
    """Yield what is wrong with the template `text`, whose names are `names`."""
    if not _is_template(text):
        return
    from jinja2 import TemplateError, TemplateSyntaxError, meta

    environment = _environment()
    try:
        tree = environment.parse(text)
        environment.compile(text)
    except TemplateSyntaxError as error:
        line = f" (line {error.lineno} of it)" if "\n" in text.strip() else ""
        filter = re.match(r"No filter named '(\w+)'", str(error.message))
        near = did_you_mean(filter[1], environment.filters) if filter else ""
        yield f"bad template: {' '.join(str(error.message).split())}{near}{line}", None
        return
    except (TemplateError, RecursionError, ValueError, OverflowError) as error:
        yield f"bad template: {' '.join(str(error).split())[:200] or type(error).__name__}", None
        return
    used = meta.find_undeclared_variables(tree)
    for name in sorted(used - names.keys() - environment.globals.keys()):
        yield (
            f"unknown name `{name}` in a template; allowed: {one_of(names)}{did_you_mean(name, names)}",
            name,
        )
    for root, key in _keys(tree):
        known = names.get(root)
        if root in used and known is not None and key not in known:
            near = did_you_mean(key, known)
            found = f"unknown name `{root}.{key}` in a template; allowed: {one_of(known)}{near}"
            yield found, f"{root}.{key}"


def keys_used(value: Json, root: str) -> list[str]:
    """Return the `x` of every `root.x` in the templates of `value`, in their order; of bad ones, none."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return list(dict.fromkeys(name for child in value for name in keys_used(child, root)))
    if not isinstance(value, str) or (tree := _parsed(value)) is None:
        return []
    return list(dict.fromkeys(key for found, key in _keys(tree) if found == root))


def pairs_used(text: str, root: str) -> list[tuple[str, str]]:
    """Return the `x` and `y` of every `root.x.y` in a template, in their order; of a bad one, none."""
    from jinja2 import nodes

    tree = _parsed(text)
    parts: list[nodes.Getattr | nodes.Getitem] = []
    if tree is not None:
        parts += [*tree.find_all(nodes.Getattr)]
        parts += [*tree.find_all(nodes.Getitem)]
    found: list[tuple[int, str, str]] = []
    for part in parts:
        inner = part.node
        if not isinstance(inner, nodes.Getattr | nodes.Getitem) or not isinstance(inner.node, nodes.Name):
            continue
        first, second = _key(inner), _key(part)
        if inner.node.name == root and first is not None and second is not None:
            found.append((part.lineno, first, second))
    return [(first, second) for _, first, second in sorted(dict.fromkeys(found))]


def is_whole(text: str) -> bool:
    """Return whether `text` is one whole `{{ … }}`, which keeps its type."""
    return _parsed(text) is not None and _whole(text) is not None


def step_faults(text: str) -> Iterator[Fault]:
    """Yield uses of `steps` in a template that are not `steps.NAME.output`."""
    from jinja2 import nodes

    tree = _parsed(text)
    if tree is None:
        return
    alone = sum(name.name == "steps" for name in tree.find_all(nodes.Name))
    steps: dict[int, str] = {}
    parts: list[nodes.Getattr | nodes.Getitem] = []
    parts += [*tree.find_all(nodes.Getattr)]
    parts += [*tree.find_all(nodes.Getitem)]
    for part in parts:
        if isinstance(part.node, nodes.Name) and part.node.name == "steps" and (key := _key(part)):
            steps[id(part)] = key
    for part in parts:
        if (step := steps.get(id(part.node))) is not None:
            steps.pop(id(part.node))
            alone -= 1
            if (key := _key(part)) != "output":
                near = did_you_mean(key or "", ["output"])
                yield f"a step has `output` alone: write `steps.{step}.output`{near}", f"steps.{step}"
    for step in steps.values():
        yield f"write `steps.{step}.output`: what a step gave is its `output`", f"steps.{step}"
    if alone > len(steps):
        yield "`steps` can't be used alone: write `steps.NAME.output`", "steps"


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


@lru_cache(maxsize=4096)
def _parsed(text: str) -> nodes.Template | None:
    """Return a template's tree; None for text without one, and for a bad one."""
    if not _is_template(text):
        return None
    from jinja2 import TemplateError

    try:
        return _environment().parse(text)
    except (TemplateError, RecursionError, ValueError, OverflowError):
        return None


def _key(part: nodes.Getattr | nodes.Getitem) -> str | None:
    from jinja2 import nodes

    if isinstance(part, nodes.Getattr):
        return part.attr
    return str(part.arg.value) if isinstance(part.arg, nodes.Const) else None


def _keys(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    from jinja2 import nodes

    found: list[tuple[int, str, str]] = []
    for dotted in tree.find_all(nodes.Getattr):
        if isinstance(dotted.node, nodes.Name):
            found.append((dotted.lineno, dotted.node.name, dotted.attr))
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and isinstance(item.arg, nodes.Const):
            found.append((item.lineno, item.node.name, str(item.arg.value)))
    found.sort(key=lambda found: found[0])
    for _, root, key in dict.fromkeys(found):
        yield root, key


def _render_text(text: str, names: Mapping[str, object], where: str) -> Json:
    if not _is_template(text):
        return text
    from jinja2 import StrictUndefined, TemplateError

    try:
        expression = _whole(text)
        if expression is None:
            return _template(text).render(names)
        value = _expression(expression)(**names)
        if isinstance(value, StrictUndefined):
            str(value)  # raises, naming what is undefined
        return _jsonable(value, where)
    except TemplateError as error:
        raise UserError(f"{where}: the template fails: {' '.join(str(error).split())[:300]}") from None
    except (
        ArithmeticError,
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        NameError,
        RuntimeError,
    ) as error:
        raise UserError(f"{where}: the template fails: {type(error).__name__}: {error}") from None


@lru_cache(maxsize=1024)
def _template(text: str) -> Template:
    return _environment().from_string(text)


@lru_cache(maxsize=1024)
def _expression(text: str) -> TemplateExpression:
    return _environment().compile_expression(text, undefined_to_none=False)


@lru_cache(maxsize=1024)
def _whole(text: str) -> str | None:
    """Return the expression when `text` is one whole `{{ … }}`."""
    stripped = text.strip()
    if not (stripped.startswith("{{") and stripped.endswith("}}")):
        return None
    from jinja2 import nodes

    body = _environment().parse(stripped).body
    if len(body) != 1 or not isinstance(body[0], nodes.Output) or len(body[0].nodes) != 1:
        return None
    return None if isinstance(body[0].nodes[0], nodes.TemplateData) else stripped[2:-2].strip("-+ \n\t")


def _jsonable(value: object, where: str) -> Json:
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return cast("Json", to_jsonable_python(value))
    except PydanticSerializationError:
        raise UserError(
            f"{where}: the template gives a {type(value).__name__}, which has no JSON form"
        ) from None


@cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    class KeysFirst(SandboxedEnvironment):
        def getattr(self, obj: object, attribute: str) -> object:
            if isinstance(obj, Mapping) and attribute in obj:
                return obj[attribute]
            return super().getattr(obj, attribute)

    environment = KeysFirst(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["duration"] = format_seconds
    return environment
