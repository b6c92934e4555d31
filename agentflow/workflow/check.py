"""Everything that can be known of a workflow without running it: text, templates, files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import JsonValue

from agentflow.builtin import open_model
from agentflow.endpoints.providers import PROVIDERS
from agentflow.endpoints.resolve import SCHEMES
from agentflow.errors import UserError
from agentflow.session.blocks import BUILTINS, TRANSFER
from agentflow.workflow.dual_faults import dual_faults
from agentflow.workflow.modules import fault
from agentflow.workflow.plan_faults import plan_faults
from agentflow.workflow.review_faults import review_faults
from agentflow.workflow.templates import Names, step_faults, template_faults
from agentflow.workflow.tournament_faults import tournament_faults
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import Parsed, Problem, did_you_mean, parse_file, walk

__all__ = ["RUN_NAMES", "WorkflowError", "check_workflow", "folder_of", "read_text", "template_names"]

RUN_NAMES = frozenset({"calls", "calls_s", "cost", "id", "seconds", "tokens"})
"""What `run.x` may be in the template of a workflow's output."""


class WorkflowError(UserError):
    """A workflow file is wrong. `problems` are all its faults, sorted by position."""

    def __init__(self, problems: list[Problem]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}")
        self.problems = problems


def check_workflow(path: str | os.PathLike[str], *, model: str | None = None) -> Parsed:
    """Read and check the file at `path` and what it names; nothing of it is run.

    `model` stands for every endpoint's model, which then need not be there. Returns
    the file with its problems. Raises `WorkflowError` when it can't be read at all.
    """
    file = Path(path)
    try:
        with open(file, "rb") as source:
            data = source.read(2 * 1024 * 1024)
    except OSError as error:
        raise WorkflowError([Problem(str(path), 1, 1, f"can't read the file: {error.strerror}")]) from None
    parsed = parse_file(data, str(path), read=lambda name: (file.parent / name).read_bytes())
    parsed.add([*_templates(parsed), *_files(parsed, model is None)])
    return parsed


def folder_of(parsed: Parsed, *path: str) -> Path:
    """Return the folder that relative paths at `path` start from: that of the file they stand in."""
    main = Path(parsed.main.file).parent
    origin = parsed.origin(path)
    return main if origin is parsed.main else (main / origin.file).parent


def read_text(file: Path) -> str:
    """Return a file's text. Raises `UserError` with one line."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text") from None


def template_names(parsed: Parsed) -> Names:
    """Return the names that an instruction or an input may use."""
    inputs = parsed.merged.get("inputs")
    return {"inputs": frozenset(inputs) if isinstance(inputs, dict) else frozenset()}


def _templates(parsed: Parsed) -> Iterator[Problem]:
    names = template_names(parsed)
    for section in ("agent", "team"):
        if isinstance(parsed.merged.get(section), dict):
            yield from _in_templates(parsed, (section, "input"), names)
    if isinstance(parsed.merged.get("batch"), dict):
        yield from _in_templates(parsed, ("batch", "file"), names)
    yield from dual_faults(parsed, names, folder_of)
    yield from review_faults(parsed, names, folder_of)
    yield from tournament_faults(parsed, names, folder_of)
    seen = {**names, "output": None, "run": RUN_NAMES}
    if isinstance(plan := parsed.merged.get("plan"), dict):
        yield from plan_faults(parsed, names)
        yield from _steps_in(parsed, ("output",))
        seen["steps"] = frozenset(steps) if isinstance(steps := plan.get("steps"), dict) else frozenset()
    yield from _in_templates(parsed, ("output",), seen)
    for name in _names(parsed, "agents"):
        yield from _in_templates(parsed, ("agents", name, "instructions"), names)
    for name in _names(parsed, "tools"):
        http = _at(parsed, ("tools", name, "http"))
        if not isinstance(http, dict):
            continue
        known: frozenset[str] | None = None
        parameters = http.get("parameters")
        if isinstance(parameters, dict) and isinstance(properties := parameters.get("properties"), dict):
            known = frozenset(properties)
        for field in ("url", "query", "headers", "body"):
            yield from _in_templates(parsed, ("tools", name, "http", field), {"arguments": known})


def _steps_in(parsed: Parsed, path: tuple[str, ...]) -> Iterator[Problem]:
    for place, value in walk(_at(parsed, path), path):
        if isinstance(value, str):
            for message, find in step_faults(value):
                yield parsed.report(place, message, find=find)


def _in_templates(parsed: Parsed, path: tuple[str, ...], names: Names) -> Iterator[Problem]:
    for place, value in walk(_at(parsed, path), path):
        if isinstance(value, str):
            for message, find in template_faults(value, names):
                yield parsed.report(place, message, find=find)


def _files(parsed: Parsed, models: bool) -> Iterator[Problem]:
    for name in _names(parsed, "endpoints") if models else ():
        yield from _model(parsed, ("endpoints", name, "model"))
    for name in _names(parsed, "agents"):
        yield from _try(parsed, ("agents", name, "instructions_file"), read_text)
        yield from _try(parsed, ("agents", name, "output", "schema"), _json_object)
        yield from _session_names(parsed, name)
    for name in _names(parsed, "tools"):
        place = ("tools", name, "python")
        reference = _at(parsed, place)
        if isinstance(reference, str) and reference.count(":") == 1:
            found = fault(reference, folder_of(parsed, *place))
            if found:
                yield parsed.report(place, found)


def _session_names(parsed: Parsed, agent: str) -> Iterator[Problem]:
    for field in ("tools", "agents"):
        used = _at(parsed, ("agents", agent, field))
        for index, name in enumerate(used if isinstance(used, list) else []):
            if isinstance(name, str) and (name in BUILTINS or name.startswith(TRANSFER)):
                message = f"a session has a tool of its own for `{name[:60]}`; allowed is any other name"
                yield parsed.report(("agents", agent, field, index), message)


def _model(parsed: Parsed, place: tuple[str, ...]) -> Iterator[Problem]:
    model = _at(parsed, place)
    if not isinstance(model, str) or ":" not in model:
        return
    scheme, _, rest = model.partition(":")
    known = sorted({*PROVIDERS, *SCHEMES})
    based = _at(parsed, (*place[:2], "base_url")) is not None
    provider = PROVIDERS.get(scheme)
    if scheme == "scripted" and rest.strip():
        yield from _try(parsed, place, _script, rest)
    elif scheme == "builtin" and rest.strip():
        try:
            open_model(rest)
        except UserError as error:
            yield parsed.report(place, str(error))
    elif provider is not None and not provider.base_url and not based:
        message = f"an endpoint of `{scheme}:` needs a base_url, such as https://NAME{provider.hosts[0]}"
        yield parsed.report(place, message)
    elif scheme not in known and not based:
        allowed = ", ".join(f"{name}:NAME" for name in known)
        near = did_you_mean(scheme, known)
        yield parsed.report(place, f'unknown model "{model[:60]}"; allowed: {allowed}, or a base_url{near}')


def _script(file: Path) -> None:
    from agentflow.builtin.scripted import read_script

    read_script(file)


def _try(
    parsed: Parsed, place: tuple[str, ...], read: Callable[[Path], object], name: str | None = None
) -> Iterator[Problem]:
    value = name if name is not None else _at(parsed, place)
    if not isinstance(value, str) or not value:
        return
    file = folder_of(parsed, *place) / value
    if not file.is_file():
        yield parsed.report(place, f"no file `{value[:200]}`; paths are relative to the file they stand in")
        return
    try:
        read(file)
    except UserError as error:
        yield parsed.report(place, str(error))


def _json_object(file: Path) -> dict[str, Json]:
    try:
        value = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{file} holds no JSON Schema: a schema is a JSON object")
    return value


def _names(parsed: Parsed, section: str) -> list[str]:
    value = parsed.merged.get(section)
    return list(value) if isinstance(value, dict) else []


def _at(parsed: Parsed, path: tuple[str, ...]) -> JsonValue:
    value: JsonValue = parsed.merged
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value
