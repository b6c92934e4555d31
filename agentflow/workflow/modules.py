"""Python tools by `module:function`: from a file beside the workflow, or an installed package.

A file is loaded by its location under a private name: nothing is put on `sys.path`,
nothing shadows an installed module. `fault` looks without running anything.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from agentflow.errors import UserError
from agentflow_protocols.workflow import did_you_mean

__all__ = ["fault", "load_function"]


def fault(reference: str, folder: Path) -> str | None:
    """Return what is wrong with `reference`, without importing the module."""
    module, _, function = reference.partition(":")
    file = _beside(module, folder)
    if file is None and not _installed(module):
        return (
            f"no file {module.replace('.', '/')}.py beside the workflow, and no installed module `{module}`"
        )
    file = file or _installed_file(module)
    if file is None:
        return None
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        return f"{file.name}:{error.lineno or 1}: {error.msg}"
    except (OSError, ValueError) as error:
        return f"can't read {file.name}: {error}"
    names = set(_defined(tree.body))
    if function in names or "*" in names:
        return None
    return f"{file.name} defines no `{function}`{did_you_mean(function, names)}"


def load_function(reference: str, folder: Path, loaded: dict[Path, ModuleType]) -> object:
    """Return the function, or the Tool, that `reference` names; its module is run.

    `loaded` keeps the modules of one workflow, so that its tools share them. Raises
    `UserError` with one line for whatever the module raises.
    """
    module, _, function = reference.partition(":")
    file = _beside(module, folder)
    try:
        found = _run_file(file, module, loaded) if file else importlib.import_module(module)
    except Exception as error:
        where = file.name if file else module
        raise UserError(
            f"can't load {where}: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if not hasattr(found, function):
        raise UserError(f"{module} has no `{function}`{did_you_mean(function, vars(found))}")
    return getattr(found, function)


def _beside(module: str, folder: Path) -> Path | None:
    place = folder.joinpath(*module.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file.resolve()
    return None


def _installed(module: str) -> bool:
    return _spec(module.partition(".")[0]) is not None


def _spec(top: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _installed_file(module: str) -> Path | None:
    top, _, rest = module.partition(".")
    spec = _spec(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for place in spec.submodule_search_locations or ():
        file = _beside(rest, Path(place))
        if file is not None:
            return file
    return None


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that a module's statements define, those under `if` and `try` too."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in statement.names)
        else:
            for field in ("body", "orelse", "finalbody"):
                yield from _defined(getattr(statement, field, []))
            for branch in getattr(statement, "handlers", []):
                yield from _defined(branch.body)


def _run_file(file: Path, module: str, loaded: dict[Path, ModuleType]) -> ModuleType:
    if file in loaded:
        return loaded[file]
    place = hashlib.blake2b(str(file).encode(), digest_size=6).hexdigest()
    name = f"_agentflow_{place}_{module.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is no Python file")
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made  # annotations are looked up there
    try:
        spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[name]
        raise
    loaded[file] = made
    return made
