"""`agentflow models`: local models on this machine."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, TypeAlias

import typer

from agentflow._cli.options import Json, NoColor, Quiet
from agentflow._cli.say import as_json, fancy, note, print_data, table

__all__ = ["list_models", "models", "pull", "remove"]

ModelName: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="Such as smollm2-135m.")]

models = typer.Typer(
    name="models", help="Fetch, list and remove local models.", no_args_is_help=True, rich_markup_mode=None
)


@models.command()
def pull(name: ModelName, as_data: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Fetch a model and check it."""
    from agentflow.local import store

    drawn = fancy(no_color) and not quiet

    def progress(text: str) -> None:
        if drawn:
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()
        else:
            note(text, quiet=quiet)

    try:
        path = store.pull(name, progress)
    finally:
        if drawn:
            sys.stderr.write("\n")
    print_data(as_json({"name": name, "path": str(path)}) if as_data else str(path))


@models.command("list")
def list_models(as_data: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """List the models that are on this machine."""
    from agentflow.local import store

    rows = [{**asdict(model), "path": str(model.path)} for model in store.installed()]
    if as_data:
        print_data(as_json(rows))
    elif rows:
        print_data(table(rows, rows[0]))
    else:
        known = ", ".join(sorted(store.KNOWN))
        note(f"no local models; agentflow models pull NAME fetches one (known: {known})", quiet=quiet)


@models.command()
def remove(name: ModelName, as_data: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Remove a model from this machine."""
    from agentflow.local import store

    store.remove(name)
    if as_data:
        print_data(as_json({"removed": name}))
    else:
        note(f"removed {name}", quiet=quiet)
