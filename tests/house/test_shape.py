"""The shape of the code: sizes, names, what is public and that it is described."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ("agentflow", "protocols/agentflow_protocols", "benchmarks/agentflow_bench")
MOST_LINES, MOST_FUNCTION_LINES = 500, 60
BANNED_NAME = re.compile(r"(Manager|Handler|Processor|Kernel|Utils?|Helpers?)$")
ASYNCIO_CALLS = {"connection_made", "connection_lost", "data_received", "eof_received"}
BANNED_TEXT = {
    "a path of some machine": re.compile(r"(?<![\w.])/(?:work|root|home|Users)/\w+"),
    "a package index host": re.compile(r"pypi\.org|pythonhosted\.org|/simple/"),
    "unfinished work": re.compile(r"\b(?:TODO|FIXME|XXX)\b"),
}


def tracked(*endings: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.splitlines()]
    return [file for file in files if file.is_file() and (not endings or file.suffix in endings)]


def modules() -> list[Path]:
    return sorted(file for root in ROOTS for file in (ROOT / root).rglob("*.py"))


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {file: ast.parse(file.read_text(), str(file)) for file in modules()}


def report(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


def test_files_and_functions_stay_small() -> None:
    faults: list[str] = []
    for file in tracked(".py"):
        text = file.read_text()
        if (lines := text.count("\n")) > MOST_LINES:
            faults.append(f"{name_of(file)}: {lines} lines; at most {MOST_LINES}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > MOST_FUNCTION_LINES:
                    faults.append(f"{name_of(file)}:{node.lineno}: {node.name}: {size} lines")
    report(faults)


def test_every_public_name_is_in_all(trees: dict[Path, ast.Module]) -> None:
    """Ruff keeps `__all__` sorted (RUF022)."""
    faults: list[str] = []
    for file, tree in trees.items():
        names = _all_of(tree)
        defined = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        if names is None:
            if any(not name.startswith("_") for name in defined):
                faults.append(f"{name_of(file)}: no __all__")
            continue
        for name in sorted(defined):
            if not name.startswith("_") and name not in names:
                faults.append(f"{name_of(file)}: `{name}` is public but not in __all__")
            if name.startswith("_") and name in names:
                faults.append(f"{name_of(file)}: `{name}` is private but in __all__")
    report(faults)


def _all_of(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            return [str(item.value) for item in ast.walk(node.value) if isinstance(item, ast.Constant)]
    return None


def _public(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield public classes and functions of a module, and the public methods of those classes."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_"):
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_"):
                    yield f"{node.name}.{item.name}", item


def test_what_is_public_is_described(trees: dict[Path, ast.Module]) -> None:
    faults: list[str] = []
    for file, tree in trees.items():
        if not ast.get_docstring(tree) and tree.body and file.name != "_version.py":
            faults.append(f"{name_of(file)}: no docstring")
        for name, node in _public(tree):
            if "overload" in {d.id for d in node.decorator_list if isinstance(d, ast.Name)}:
                continue
            if not ast.get_docstring(node) and node.name not in ASYNCIO_CALLS:
                faults.append(f"{name_of(file)}:{node.lineno}: {name}: no docstring")
    report(faults)


def test_no_any_in_public_signatures(trees: dict[Path, ast.Module]) -> None:
    faults: list[str] = []
    for file, tree in trees.items():
        for name, node in _public(tree):
            if isinstance(node, ast.ClassDef):
                continue
            for annotation in _annotations(node):
                if any(
                    (isinstance(part, ast.Name) and part.id == "Any")
                    or (isinstance(part, ast.Attribute) and part.attr == "Any")
                    for part in ast.walk(annotation)
                ):
                    faults.append(f"{name_of(file)}:{node.lineno}: {name}: Any")
    report(faults)


def _annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    arguments = node.args
    every = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    for argument in every:
        if argument is not None and argument.annotation is not None:
            yield argument.annotation
    if node.returns is not None:
        yield node.returns


def test_names_say_what_a_thing_is(trees: dict[Path, ast.Module]) -> None:
    faults = [
        f"{name_of(file)}:{node.lineno}: {node.name}"
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and BANNED_NAME.search(node.name)
    ]
    report(faults)


def test_texts_hold_nothing_that_belongs_elsewhere() -> None:
    faults: list[str] = []
    for file in tracked():
        if file == Path(__file__):
            continue
        try:
            lines = file.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            for what, pattern in BANNED_TEXT.items():
                if pattern.search(line):
                    faults.append(f"{name_of(file)}:{number}: {what}")
    report(faults)
