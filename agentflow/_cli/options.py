"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["DEFAULT_JOURNAL", "Inputs", "JournalFile", "Json", "Model", "NoColor", "Quiet", "WorkflowFile"]

DEFAULT_JOURNAL = Path(".agentflow/runs.db")

WorkflowFile: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="A workflow file.")]
Inputs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("-i", "--input", metavar="NAME=VALUE", help="An input; for a record PATH:ID. Repeatable."),
]
JournalFile: TypeAlias = Annotated[Path, typer.Option("--journal", metavar="FILE", help="The journal.")]
Model: TypeAlias = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="Use this model for every endpoint, e.g. scripted:FILE."),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
NoColor: TypeAlias = Annotated[bool, typer.Option("--no-color", help="No colours.")]
