"""`agentflow run`: run a workflow and watch it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentflow._cli.options import (
    DEFAULT_JOURNAL,
    Inputs,
    JournalFile,
    Json,
    Model,
    NoColor,
    Quiet,
    WorkflowFile,
)
from agentflow._cli.say import as_json, print_data

if TYPE_CHECKING:
    from agentflow.workflow import LoadedWorkflow
    from agentflow_protocols.chat import Json as JsonValue

__all__ = ["given_inputs", "run"]


def run(
    file: WorkflowFile,
    inputs: Inputs = None,
    journal: JournalFile = DEFAULT_JOURNAL,
    no_journal: Annotated[bool, typer.Option("--no-journal", help="Keep no journal.")] = False,
    resume: Annotated[str | None, typer.Option("--resume", metavar="ID", help="Go on with this run.")] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="Write every event here.")
    ] = None,
    model: Model = None,
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="N", help="Virtual time, N seconds a wall second.")
    ] = None,
    virtual_time: Annotated[
        bool, typer.Option("--virtual-time", help="Virtual time: waiting takes no time at all.")
    ] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="A line that you type interrupts the agent.")
    ] = False,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Run a workflow. Ctrl-C once pauses it and says how to go on, twice cancels it."""
    from agentflow._cli.runs import full_id, reader_of
    from agentflow._cli.session import RunOptions, failure, run_workflow
    from agentflow.errors import UserError
    from agentflow.workflow import load

    if speed is not None and virtual_time:
        raise UserError("--speed and --virtual-time are two clocks; write one of them")
    if speed is not None and not 0 < speed < float("inf"):
        raise UserError(f"--speed is seconds of virtual time a wall second, above 0, not {speed:g}")
    if resume is not None and no_journal:
        raise UserError("--resume reads the journal; leave --no-journal out")
    try:
        workflow = load(file, model=model)
    except KeyboardInterrupt:
        if as_data:
            print_data(as_json(failure(KeyboardInterrupt("Ctrl-C before the run began"), "cancelled")))
        raise typer.Exit(130) from None
    options = RunOptions(
        file=file,
        journal=None if no_journal else journal,
        trace=trace,
        clock="virtual" if virtual_time else "wall" if speed is None else "paced",
        speed=speed,
        interactive=interactive,
        as_data=as_data,
        quiet=quiet,
        no_color=no_color,
    )
    if resume is not None:
        if inputs:
            raise UserError("--resume goes on with the inputs of the run; leave -i out")
        with reader_of(journal) as reader:
            options.resume = full_id(reader, resume)
        raise typer.Exit(run_workflow(workflow, {}, options))
    given = workflow.read_inputs(given_inputs(workflow, inputs))
    raise typer.Exit(run_workflow(workflow, given, options))


def given_inputs(workflow: LoadedWorkflow, texts: list[str] | None) -> dict[str, JsonValue]:
    """Return what each `-i name=value` gives, by its input's type. Raises `UserError`."""
    from agentflow.errors import UserError
    from agentflow.workflow import input_from_text

    given: dict[str, JsonValue] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"-i {text[:40]!r}: an input is written NAME=VALUE")
        if name in given:
            raise UserError(f"-i {name}: given twice")
        section = workflow.inputs.get(name)
        given[name] = value if section is None else input_from_text(name, section, value)
    return given
