"""Tools made of functions: what a model sees, what it may pass, how a call runs."""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from agentflow.errors import RunError, ToolFailed, ToolRetry, UserError
from agentflow.runtime.context import Context
from agentflow.runtime.loop import new_loop, run_in
from agentflow.tools import Progress, Tool, from_function, render, tool, tools_by_name

if TYPE_CHECKING:
    import agentflow.runtime.context as core


class Pot(BaseModel):
    name: str
    litres: float = Field(gt=0)


def virtual(main):
    return run_in(lambda: new_loop("virtual"), main)


async def called(made: Tool[..., object], arguments: str = "{}", context: object = None, yielded=None):
    return await made.run(context, made.validate(arguments), yielded)


def test_schema_and_description_come_from_the_function() -> None:
    @tool
    async def boil(
        context: Context[int],
        pot: Pot,
        minutes: int = 3,
        kind: Literal["soft", "hard"] = "soft",
        *,
        tags: Annotated[list[str], Field(description="Marks.")] = [],  # noqa: B006
    ) -> str:
        """Boil an egg.

        Takes a while.

        Args:
            pot: Which pot.
            minutes: How long,
                in minutes.
            tags: Not this text.
        """
        return f"{pot.name} {minutes} {kind} {tags}"

    assert boil.name == boil.spec.name == "boil"
    assert boil.__name__ == "boil"
    assert boil.spec.description == "Boil an egg.\n\nTakes a while."
    schema = boil.spec.parameters
    assert schema["required"] == ["pot"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert list(properties) == ["pot", "minutes", "kind", "tags"]
    assert properties["pot"] == {"$ref": "#/$defs/Pot", "description": "Which pot."}
    assert properties["minutes"] == {
        "type": "integer",
        "default": 3,
        "description": "How long, in minutes.",
    }
    assert properties["tags"]["description"] == "Marks."
    assert "title" not in schema


@pytest.mark.parametrize(
    "doc",
    [
        "Do it.\n\nParameters\n----------\nx : int\n    The number.\n",
        "Do it.\n\n:param x: The number.\n",
        "Do it.\n\nArgs:\n    x: The number.\n\nReturns:\n    Nothing.\n",
    ],
    ids=["numpy", "rest", "google"],
)
def test_docstring_styles(doc: str) -> None:
    def act(x: int) -> int:
        return x

    act.__doc__ = doc
    made = tool(act)
    assert made.spec.description == "Do it."
    assert made.spec.parameters["properties"]["x"]["description"] == "The number."


def test_local_and_hidden_names_in_annotations() -> None:
    @dataclass
    class Local:
        x: int

    @tool
    def first(context: core.Context[int], local: Local) -> None: ...

    @tool
    def second(context: Context[int], locals: list[Local] | None = None) -> None: ...

    assert list(first.spec.parameters["properties"]) == ["local"]
    assert first.validate('{"local": {"x": 1}}') == {"local": Local(1)}
    assert second.validate('{"locals": [{"x": 1}]}') == {"locals": [Local(1)]}


def test_awkward_parameter_names() -> None:
    @tool
    def odd(schema: int, json: int, copy: int, _x: int = 0, model_config: int = 1) -> None: ...

    assert odd.validate('{"schema": 1, "json": 2, "copy": 3}') == {
        "schema": 1,
        "json": 2,
        "copy": 3,
        "_x": 0,
        "model_config": 1,
    }


def test_pydantic_fields_as_defaults() -> None:
    @tool
    def f(a: int = Field(ge=1, description="A."), b: int = Field(7, le=9)) -> None: ...

    assert f.validate('{"a": 1}') == {"a": 1, "b": 7}
    assert f.spec.parameters["required"] == ["a"]
    assert f.spec.parameters["properties"]["a"] == {"type": "integer", "minimum": 1, "description": "A."}
    with pytest.raises(ToolRetry, match="greater than or equal to 1"):
        f.validate('{"a": 0}')


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ("{", "cook: the arguments are no JSON: EOF while parsing an object at line 1 column 1"),
        ("[1]", "cook: the arguments must be a JSON object, found [1]"),
        ("{}", "cook: `pot` is missing"),
        (
            '{"pot": {"name": "a", "litres": 0}}',
            "cook: `pot.litres`: input should be greater than 0, found 0",
        ),
        ('{"pot": {"name": "a"}}', "cook: `pot.litres` is missing"),
        (
            '{"pot": {"name": "a", "litres": 1}, "tmes": [1]}',
            "cook: `tmes`: no such parameter (did you mean `times`? allowed: `pot`, `times`)",
        ),
        (
            '{"pot": {"name": "a", "litres": 1}, "times": [1, "x"]}',
            "cook: `times[1]`: input should be a valid integer, "
            'unable to parse string as an integer, found "x"',
        ),
    ],
)
def test_a_fault_is_one_exact_line(arguments: str, fault: str) -> None:
    @tool
    def cook(pot: Pot, times: list[int] = []) -> None: ...  # noqa: B006

    with pytest.raises(ToolRetry) as caught:
        cook.validate(arguments)
    assert str(caught.value) == fault


def test_a_fault_never_repeats_long_input() -> None:
    @tool
    def count(n: int) -> None: ...

    with pytest.raises(ToolRetry) as caught:
        count.validate('{"n": "' + "secret" * 1000 + '"}')
    assert len(str(caught.value)) < 200


def test_empty_arguments_are_an_empty_object() -> None:
    @tool
    def now() -> str:
        return "noon"

    assert now.validate("") == {}
    assert now() == "noon"


class Opaque:
    pass


class Host:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def method(self, x: int) -> int:
        """Note x."""
        self.seen.append(x)
        return x

    async def __call__(self, x: int) -> int:
        return x


def no_annotation(x): ...


def stars(*xs: int): ...


def double_stars(**xs: int): ...


def positional(x: int, /): ...


def late_context(x: int, context: Context[int]): ...


def generator(x: int):
    yield x


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (no_annotation, "tool `no_annotation`: parameter `x` has no annotation; add its type"),
        (Host.method, "parameter `self` has no annotation; decorate a bound method"),
        (stars, r"parameter `xs`: `\*xs` has no JSON form; name each parameter"),
        (double_stars, r"`\*\*xs` has no JSON form"),
        (positional, "parameter `x` is positional only"),
        (late_context, "parameter `context`: the Context must be the first parameter"),
        (generator, "a plain generator can't be a tool; write `async def`"),
        (lambda: 1, r"needs a name: tool\(name=…\)"),
        (Host, "a tool is made of a function"),
        (3, "a tool is made of a function, not of 3"),
    ],
)
def test_functions_that_can_be_no_tool(function, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        tool(function)


def test_types_without_a_json_form_are_refused_at_first_use() -> None:
    @tool
    def f(x: Opaque) -> None: ...

    @tool
    def g(x: Missing) -> None: ...  # noqa: F821

    with pytest.raises(UserError, match=r"tool `f`: a parameter has no JSON form: .*Opaque"):
        _ = f.spec
    with pytest.raises(UserError, match=r"tool `g`: the annotation of `x` can't be resolved: .*Missing"):
        g.validate("{}")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"timeot": 3}, r"no option `timeot` \(did you mean `timeout`\?\)"),
        ({"timeout": "soon"}, "tool `f`: timeout: `soon` is no duration"),
        ({"timeout": -1}, "timeout: -1 is no duration"),
        ({"retries": -1}, "retries: -1; allowed: a whole number >= 0"),
        ({"max_parallel": 0}, "max_parallel: 0; allowed: a whole number >= 1"),
        ({"reply": "later"}, "reply: 'later'; allowed: auto, wait, interrupt, stream"),
        ({"reply": "stream"}, 'reply="stream" needs an async generator function'),
        ({"name": "a b"}, "a name has 1 to 64 letters"),
    ],
)
def test_wrong_options(options, fault: str) -> None:
    def f() -> None: ...

    with pytest.raises(UserError, match=fault):
        tool(**options)(f)


def test_options_are_read_and_kept() -> None:
    @tool(timeout="1m30s", estimate="10m", max_parallel=2, idempotent=True, name="other", description="D.")
    def f(minutes: int) -> None: ...

    assert (f.options.timeout, f.options.estimate, f.options.max_parallel) == (90, 600, 2)
    assert f.options.idempotent
    assert (f.spec.name, f.spec.description) == ("other", "D.")
    assert f.options.estimate_of({"minutes": 3}) == 600
    changed = f.with_options(
        retries=3, estimate=lambda minutes: minutes * 60, needs_approval=lambda minutes: minutes > 5
    )
    assert (changed.options.timeout, changed.options.retries) == (90, 3)
    assert changed.options.estimate_of({"minutes": 3, "x": 1}) == 180
    assert [changed.options.approval_of({"minutes": n}) for n in (5, 6)] == [False, True]
    assert f.options.retries == 0
    broken = f.with_options(estimate=lambda minutes: 1 / minutes, needs_approval=lambda days: True)
    with pytest.raises(UserError, match="estimate: <lambda> failed: ZeroDivisionError"):
        broken.options.estimate_of({"minutes": 0})
    with pytest.raises(UserError, match="needs_approval: <lambda> failed: TypeError"):
        broken.options.approval_of({"minutes": 0})


def test_a_list_of_tools_has_no_name_twice() -> None:
    def f() -> None: ...

    one, two = tool(f), tool(name="g")(f)
    assert tools_by_name([one, two]) == {"f": one, "g": two}
    with pytest.raises(UserError, match="two tools are named `f`"):
        tools_by_name([one, one])
    with pytest.raises(UserError, match="is no tool; put `@tool` on it"):
        tools_by_name([f])  # type: ignore[list-item]


async def test_every_kind_of_callable() -> None:
    host = Host()
    assert await called(tool(host.method), '{"x": 1}') == 1
    assert host.seen == [1]
    assert await called(from_function(host, name="host"), '{"x": 2}') == 2
    partial = from_function(functools.partial(host.method), name="partial")
    assert await called(partial, '{"x": 3}') == 3

    @tool
    async def with_context(context: Context[int], x: int) -> tuple[object, int]:
        return context, x

    assert await called(with_context, '{"x": 4}', "the context") == ["the context", 4]
    assert await with_context("direct", 5) == ("direct", 5)  # type: ignore[arg-type]


async def test_a_plain_function_runs_in_a_thread_with_the_context_variables() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    @tool
    def where() -> list[object]:
        return [threading.current_thread() is threading.main_thread(), variable.get()]

    variable.set("set")
    assert await called(where) == [False, "set"]


async def test_values_become_json() -> None:
    @tool
    def f() -> dict[str, object]:
        return {"pot": Pot(name="a", litres=1), "on": date(2026, 1, 2), "t": (1, 2)}

    value = await called(f)
    assert value == {"pot": {"name": "a", "litres": 1.0}, "on": "2026-01-02", "t": [1, 2]}
    assert render(value).startswith('{"pot": {"name": "a"')
    assert render("as it is") == "as it is"

    @tool
    def g() -> object:
        return Opaque()

    with pytest.raises(ToolFailed, match=r"g: its value has no JSON form: .*Opaque"):
        await called(g)


async def test_generators_tell_progress_and_return_the_last_value() -> None:
    @tool
    async def count(to: int) -> AsyncIterator[object]:
        for i in range(to):
            yield Progress({"done": i})
            yield i

    told: list[object] = []
    assert await called(count, '{"to": 3}', yielded=told.append) == 2
    assert told == [Progress({"done": i}) for i in range(3)]
    told.clear()
    stream = count.with_options(reply="stream")
    assert await called(stream, '{"to": 2}', yielded=told.append) is None
    assert told == [Progress({"done": 0}), 0, Progress({"done": 1}), 1]
    told.clear()

    @tool(reply="stream")
    async def ticks() -> AsyncIterator[object]:
        yield Progress(1)
        yield "a"
        yield "b"

    assert await called(ticks, yielded=told.append) is None
    assert told == [Progress(1), "a", "b"]


async def test_errors_become_one_line_with_their_cause() -> None:
    @tool
    async def fails(how: str) -> None:
        raise {
            "retry": ToolRetry("other words"),
            "failed": ToolFailed("no gas"),
            "user": UserError("wrong file"),
            "run": RunError("paused"),
            "value": ValueError("line 1\nline 2"),
            "time": TimeoutError(),
        }[how]

    for how, kind, text in [
        ("retry", ToolRetry, "other words"),
        ("failed", ToolFailed, "no gas"),
        ("user", UserError, "wrong file"),
        ("run", RunError, "paused"),
        ("value", ToolFailed, "fails: ValueError: line 1 line 2"),
        ("time", ToolFailed, "fails: TimeoutError"),
    ]:
        with pytest.raises(kind) as caught:
            await called(fails, f'{{"how": "{how}"}}')
        assert str(caught.value) == text
    with pytest.raises(ToolFailed) as caught:
        await called(fails, '{"how": "value"}')
    assert isinstance(caught.value.__cause__, ValueError)


async def test_an_explicit_schema() -> None:
    async def look(context: object, arguments: dict[str, object]) -> object:
        return [context, arguments]

    made = Tool.from_schema(
        "look",
        "Look it up.",
        {"properties": {"q": {"type": "string"}}, "required": ["q"], "additionalProperties": False},
        look,
        timeout="3s",
    )
    assert made.spec.parameters["type"] == "object"
    assert await called(made, '{"q": "x"}', "context") == ["context", {"q": "x"}]
    for arguments, fault in [
        ("{", "look: the arguments are no JSON: "),
        ("[]", r"look: the arguments must be a JSON object, found \[\]"),
        ('{"p": 1}', r"look: `q` is missing; `p`: no such parameter \(allowed: `q`\)"),
    ]:
        with pytest.raises(ToolRetry, match=fault):
            made.validate(arguments)
