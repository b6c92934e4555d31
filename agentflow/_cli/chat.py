"""`agentflow chat`: talk with a workflow's agent, seeing its calls and interrupting it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentflow._cli.options import Inputs, Model, NoColor, Quiet, WorkflowFile

__all__ = ["chat"]


def chat(
    file: WorkflowFile,
    inputs: Inputs = None,
    model: Model = None,
    journal: Annotated[Path | None, typer.Option("--journal", metavar="FILE", help="A journal.")] = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Talk with the agent of a workflow. A line typed while it works interrupts it; /quit ends."""
    import sys

    from agentflow._cli.run import given_inputs
    from agentflow._cli.say import fancy
    from agentflow._cli.talk import Talk
    from agentflow.runtime.loop import new_loop, run_in
    from agentflow.workflow import load

    workflow = load(file, model=model)
    workflow.check_endpoints()
    inputs_now = workflow.read_inputs(given_inputs(workflow, inputs), partial=True)
    talk = Talk(
        workflow.agent(inputs_now),
        workflow.limits,
        quiet,
        fancy(no_color) and sys.stdin.isatty() and sys.stdout.isatty(),
    )
    run_in(lambda: new_loop("wall"), talk.run(journal))
