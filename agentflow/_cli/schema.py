"""`agentflow schema`: print the JSON Schema of what agentflow reads and writes."""

from __future__ import annotations

from typing import Annotated

import typer

from agentflow._cli.options import Json, NoColor, Quiet
from agentflow._cli.say import as_json, print_data

__all__ = ["schema"]


def schema(
    name: Annotated[
        str, typer.Argument(metavar="[workflow|trace|experiment]", help="Which schema.")
    ] = "workflow",
    as_data: Json = True,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Print a JSON Schema, for editors and other programs."""
    from agentflow.errors import UserError
    from agentflow_protocols.schemas import SCHEMAS, schema_of
    from agentflow_protocols.workflow import did_you_mean, one_of

    if name not in SCHEMAS:
        raise UserError(f"no schema `{name}`; allowed: {one_of(SCHEMAS)}{did_you_mean(name, SCHEMAS)}")
    print_data(as_json(schema_of(name)))
