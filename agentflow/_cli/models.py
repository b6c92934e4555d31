"""`agentflow models`: local models on this machine."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Protocol, TypeAlias, cast

import typer

from agentflow._cli.options import Json, NoColor, Quiet
from agentflow._cli.say import as_json, fancy, note, print_data, table
from agentflow.errors import UserError

__all__ = ["Store", "list_models", "models", "pull", "remove"]

ModelName: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="Such as smollm2-135m.")]


class Store(Protocol):
    """The functions of `agentflow.local.store` that are used here."""

    def pull(self, name: str, progress: Callable[[str], None], /) -> Path:
        """Fetch a model; return its file."""

    def installed(self) -> Iterable[object]:
        """Return what is on this machine."""

    def remove(self, name: str, /) -> object:
        """Remove a model."""


models = typer.Typer(
    name="models", help="Fetch, list and remove local models.", no_args_is_help=True, rich_markup_mode=None
)


@models.command()
def pull(name: ModelName, as_data: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Fetch a model and check it."""
    drawn = fancy(no_color) and not quiet

    def progress(text: str) -> None:
        note(f"\r\x1b[2K{text}" if drawn else text, quiet=quiet)

    path = _store().pull(name, progress)
    print_data(as_json({"name": name, "path": str(path)}) if as_data else str(path))


@models.command("list")
def list_models(as_data: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """List the models that are on this machine."""
    rows = [_row(model) for model in _store().installed()]
    if as_data:
        print_data(as_json(rows))
    elif rows:
        print_data(table(rows, rows[0]))
    else:
        note("no local models; agentflow models pull NAME fetches one", quiet=quiet)


@models.command()
def remove(name: ModelName, as_data: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Remove a model from this machine."""
    _store().remove(name)
    if as_data:
        print_data(as_json({"removed": name}))
    else:
        note(f"removed {name}", quiet=quiet)


def _store() -> Store:
    """Return what keeps local models. Raises `UserError` where that part is not installed."""
    try:
        return cast("Store", importlib.import_module("agentflow.local.store"))
    except ModuleNotFoundError:
        raise UserError("local models are not in this version of agentflow") from None


def _row(model: object) -> dict[str, object]:
    if is_dataclass(model) and not isinstance(model, type):
        return {
            key: value if isinstance(value, int | float) else str(value)
            for key, value in asdict(model).items()
        }
    return {"name": str(model)}
