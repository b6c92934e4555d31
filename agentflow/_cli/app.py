"""The tree of commands. A command's module is light; its work is imported when it is called."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated

import typer
import typer.core
import typer.main

from agentflow._cli.batch import batch
from agentflow._cli.chat import chat
from agentflow._cli.check import check
from agentflow._cli.models import models
from agentflow._cli.new import new
from agentflow._cli.plan import plan
from agentflow._cli.run import run
from agentflow._cli.runs import runs
from agentflow._cli.say import print_data
from agentflow._cli.schema import schema

if TYPE_CHECKING:
    from typer.core import TyperCommand

__all__ = ["make_app"]

GROUP = "agentflow.commands"


@cache
def _extensions() -> Mapping[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


class _Commands(typer.core.TyperGroup):
    """The commands here, and those of other packages, which are imported when one is called."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted({*self.commands, *_extensions()})

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | None:  # type: ignore[override]
        found = super().get_command(ctx, cmd_name)
        point = _extensions().get(cmd_name)
        if found is not None or point is None:
            return found  # type: ignore[return-value]
        return typer.core.TyperCommand(cmd_name, help=_about(point))

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]
        point = _extensions().get(args[0]) if args else None
        if point is None or args[0] in self.commands:
            return super().resolve_command(ctx, args)
        loaded = point.load()
        command = typer.main.get_command(loaded) if isinstance(loaded, typer.Typer) else loaded
        return args[0], command, args[1:]


def _about(point: importlib.metadata.EntryPoint) -> str:
    return f"From {point.dist.name}." if point.dist else ""


def _version(value: bool) -> None:
    if value:
        from agentflow._version import __version__

        print_data(f"agentflow {__version__}")
        raise typer.Exit(0)


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Asynchronous LLM agents: run them from workflow files, watch them, resume them."""


def make_app() -> typer.Typer:
    """Return the application."""
    app = typer.Typer(
        cls=_Commands,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    app.add_typer(batch)
    app.command()(chat)
    app.command()(check)
    app.add_typer(models)
    app.command()(new)
    app.command()(plan)
    app.command()(run)
    app.add_typer(runs)
    app.command()(schema)
    return app
