"""A workflow file's text, read, checked and turned into the models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import BaseModel, JsonValue

from agentflow_protocols.workflow.checks import LATER_SECTIONS, check, items
from agentflow_protocols.workflow.document import Document, Path, read_document
from agentflow_protocols.workflow.faults import faults
from agentflow_protocols.workflow.models import Shared, Workflow
from agentflow_protocols.workflow.problem import Problem

__all__ = ["Parsed", "Reader", "parse_file", "parse_workflow"]

Reader = Callable[[str], bytes]
"""Returns an included file's bytes by the name that stands in `include:`; raises OSError."""

_SHARED = ("pools", "endpoints", "tools", "agents")


@dataclass(slots=True)
class Parsed:
    """A workflow file and its included files, merged, with what is wrong in them."""

    main: Document
    merged: dict[str, JsonValue] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    workflow: Workflow | None = None
    _origins: dict[tuple[str, str], Document] = field(default_factory=dict)

    def report(self, path: Path, message: str, *, key: bool = False, find: str | None = None) -> Problem:
        """Return a problem at `path`, in the file that the value came from."""
        return self.origin(path).problem(path, message, key=key, find=find)

    def origin(self, path: Path) -> Document:
        """Return the file that the value at `path` came from."""
        if len(path) < 2:
            return self.main
        return self._origins.get((str(path[0]), str(path[1])), self.main)

    def add(self, problems: list[Problem]) -> None:
        """Add problems and put all in order of position, the main file's first."""
        self.problems = sorted(
            {*self.problems, *problems},
            key=lambda p: (p.file != self.main.file, p.file, p.line, p.column, p.message),
        )
        if self.problems:
            self.workflow = None

    def include(self, document: Document) -> None:
        """Merge an included file's sections; a name that is there twice is a problem."""
        for section in _SHARED:
            target = self.merged.setdefault(section, {})
            if not isinstance(target, dict):
                continue
            for name, body in items(items(document.value).get(section)).items():
                if name in target:
                    first = self.report([section, name], "", key=True)
                    message = f"`{name[:60]}` is already defined in {first.file}:{first.line}"
                    self.add([document.problem([section, name], message, key=True)])
                else:
                    target[name] = body
                    self._origins[section, name] = document


def parse_workflow(
    text: str | bytes, name: str, *, read: Reader | None = None
) -> tuple[Workflow | None, list[Problem]]:
    """Return the workflow in `text`, or None and everything that is wrong with it.

    `name` is the file's name in the problems, which come sorted by position. `read`
    gives the files of `include:`; without it a file with includes is refused.
    """
    parsed = parse_file(text, name, read=read)
    return parsed.workflow, parsed.problems


def parse_file(text: str | bytes, name: str, *, read: Reader | None = None) -> Parsed:
    """Return the file with its positions, for checks that go beyond its text. Never raises."""
    document, problems = read_document(text, name)
    parsed = Parsed(document, problems=[])
    value = document.value
    if document.root is not None and not isinstance(value, dict):
        problems.append(document.problem([], "a workflow is a mapping that begins with `agentflow: 1`"))
    if not isinstance(value, dict):
        parsed.add(problems)
        return parsed
    parsed.merged = {key: dict(body) if isinstance(body, dict) else body for key, body in value.items()}
    problems += _version(document, value)
    own = {key: body for key, body in value.items() if key not in LATER_SECTIONS}
    parsed.add(problems + faults(Workflow, document, own))
    _include(parsed, value.get("include"), read)
    parsed.merged.pop("include", None)
    parsed.add(list(check(parsed.merged, parsed.report)))
    if not parsed.problems:
        parsed.workflow = Workflow.model_validate(parsed.merged)
    return parsed


def _version(document: Document, value: dict[str, JsonValue]) -> list[Problem]:
    """Say what a missing or other version means; pydantic's words for it are dropped."""
    if "agentflow" not in value:
        value["agentflow"] = 1
        return [document.problem([], "`agentflow: 1` is missing; it names the version of the schema")]
    if value["agentflow"] is True or value["agentflow"] != 1:
        value["agentflow"] = 1
        return [document.problem(["agentflow"], "this agentflow reads version 1; write `agentflow: 1`")]
    return []


def _include(parsed: Parsed, include: JsonValue, read: Reader | None) -> None:
    names = [include] if isinstance(include, str) else include if isinstance(include, list) else []
    for index, name in enumerate(names):
        path: Path = ["include"] if isinstance(include, str) else ["include", index]
        if not isinstance(name, str):
            continue
        if read is None:
            parsed.add([parsed.report(path, "`include:` needs files, and this text has none beside it")])
            continue
        try:
            data = read(name)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            parsed.add([parsed.report(path, f"can't read the included file `{name[:200]}`: {reason}")])
            continue
        document, problems = read_document(data, name)
        parsed.add(problems + _shared_faults(document))
        parsed.include(document)


def _shared_faults(document: Document) -> list[Problem]:
    value = document.value
    if document.root is None:
        return []
    if not isinstance(value, dict):
        return [document.problem([], "an included file is a mapping with endpoints, tools, agents")]
    nested = (
        [document.problem(["include"], "an included file can't include others", key=True)]
        if "include" in value
        else []
    )
    model: type[BaseModel] = Shared
    return nested + faults(model, document, {k: v for k, v in value.items() if k != "include"})
