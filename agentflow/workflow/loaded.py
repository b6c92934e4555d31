"""A workflow, loaded: something that a Runtime can run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from agentflow.agent import Agent
from agentflow.agent.agent import TURNS
from agentflow.endpoints import Endpoint
from agentflow.errors import UserError
from agentflow.runtime import Context, Limits
from agentflow.team import Team
from agentflow.team.team import TURNS as TEAM_TURNS
from agentflow.workflow.batches import build_batch
from agentflow.workflow.build import (
    AnyTool,
    build_agents,
    build_endpoints,
    build_limits,
    build_team,
    build_tools,
)
from agentflow.workflow.check import WorkflowError, check_workflow, folder_of
from agentflow.workflow.duals import run_dual
from agentflow.workflow.inputs import read_inputs
from agentflow.workflow.plan_faults import argument_faults
from agentflow.workflow.plans import Scope, run_plan
from agentflow.workflow.reviews import run_review
from agentflow.workflow.tally import tally_of
from agentflow.workflow.templates import render
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import BatchUse, InputSection, LimitsSection, Parsed, Workflow

__all__ = ["LoadedWorkflow", "load"]

_TURNS = LimitsSection(turns=TURNS)
_NO_AGENT = ("plan", "batch", "dual", "tournament", "review")  # what runs no one agent or team


def load(
    path: str | os.PathLike[str], *, inputs: Mapping[str, Json] | None = None, model: str | None = None
) -> LoadedWorkflow:
    """Load the workflow file at `path`: check all of it, run its Python modules, build its agents.

    `model` stands in the place of every endpoint's model. With `inputs`, they are
    checked too, and what `runtime.run(workflow)` takes when it is given no input.
    Nothing is sent to any network. Raises `WorkflowError` with all faults of the file,
    `UserError` for the inputs.
    """
    parsed = check_workflow(path, model=model)
    if parsed.workflow is None:
        raise WorkflowError(parsed.problems)
    workflow = parsed.workflow
    tools = build_tools(workflow, parsed)
    parsed.add(list(argument_faults(parsed, tools)))
    if parsed.problems:
        raise WorkflowError(parsed.problems)
    loaded = LoadedWorkflow(Path(path), workflow, parsed, build_endpoints(workflow, parsed, model), tools)
    if inputs is not None:
        loaded.given = loaded.read_inputs(inputs)
    return loaded


@dataclass(slots=True)
class LoadedWorkflow:
    """A workflow that can be run: `await runtime.run(workflow, {"question": …})`."""

    path: Path
    workflow: Workflow
    parsed: Parsed
    endpoints: dict[str, Endpoint]
    tools: dict[str, AnyTool]
    given: dict[str, Json] | None = None

    @property
    def kind(self) -> str:
        """What events and the journal call it."""
        return "workflow"

    @property
    def name(self) -> str:
        """The workflow's name; its file's where it has none."""
        return self.workflow.name or self.path.stem

    @property
    def resumable(self) -> bool:
        """Whether a run that was stopped can be gone on with: all can but a game."""
        return self.workflow.dual is None

    @property
    def limits(self) -> Limits | None:
        """The limits of a whole run: the workflow's, and those of the agent that it runs."""
        workflow = self.workflow
        if any(getattr(workflow, name) is not None for name in _NO_AGENT):
            return build_limits(workflow.limits)
        if workflow.team is not None:
            return build_limits(workflow.limits, LimitsSection(turns=TEAM_TURNS))
        return build_limits(workflow.limits, workflow.agents[workflow.entry[0]].limits, _TURNS)

    @property
    def inputs(self) -> Mapping[str, InputSection]:
        """The declared inputs."""
        return self.workflow.inputs

    def read_inputs(self, given: Mapping[str, Json], *, partial: bool = False) -> dict[str, Json]:
        """Return the value of every input; with `partial`, leave out required ones that are not given.

        Raises `UserError` that names all faults.
        """
        sections = self.workflow.inputs
        if partial:
            sections = {name: s for name, s in sections.items() if name in given or not s.is_required}
        return read_inputs(sections, given, folder_of(self.parsed))

    def check_endpoints(self) -> None:
        """Look that every endpoint of this run can be used. Raises `UserError` for a missing key or file."""
        agents, wanted = self.workflow.agents, list(self.workflow.entry)
        if self.workflow.batch is not None and self.workflow.batch.endpoint is not None:
            self.endpoints[self.workflow.batch.endpoint].check()
        for section in (self.workflow.review, self.workflow.tournament):
            for name in [] if section is None else section.endpoints():
                self.endpoints[name].check()
        seen: set[str] = set()
        while wanted:
            name = wanted.pop()
            if name not in seen:
                seen.add(name)
                self.endpoints[agents[name].endpoint].check()
                wanted += [*agents[name].agents, *agents[name].handoffs]

    def agent(self, inputs: Mapping[str, Json]) -> Agent[object, Json] | Team[object, Json]:
        """Return the agent, or the team, that a run with these inputs runs. Raises `UserError`: none."""
        build = build_agents(self.workflow, self.parsed, self.endpoints, self.tools, inputs)
        what = next((each for each in _NO_AGENT if getattr(self.workflow, each) is not None), None)
        if what is not None:
            raise UserError(f"{self.path}: it runs a {what}, not an agent or a team: `agentflow run` runs it")
        if self.workflow.team is not None:
            return build_team(self.workflow, self.workflow.team, build)
        return build(self.workflow.entry[0])

    async def __run__(self, context: Context[object], input: Mapping[str, Json] | None) -> Json:
        """Run what the file runs with the inputs and return its output, or the rendered `output`."""
        inputs = self.read_inputs(input if input is not None else self.given or {})
        if self.workflow.batch is not None:
            return await self._batch(context, self.workflow.batch, inputs)
        if self.workflow.output is None:
            return (await self._body(context, inputs))[0]
        began = context.clock.time()
        async with tally_of(context) as tally:
            output, steps = await self._body(context, inputs)
            await tally.caught_up()
        run: dict[str, object] = {
            "id": context.run_id,
            "seconds": context.clock.time() - began,
            "calls": tally.calls,
            "calls_s": tally.seconds,
            "cost": context.budget.cost,
            "tokens": context.budget.usage.total_tokens,
        }
        names: dict[str, object] = {"inputs": inputs, "output": output, "run": run, "steps": steps}
        return render(cast("Json", self.workflow.output), names, "output")

    async def _body(
        self, context: Context[object], inputs: Mapping[str, Json]
    ) -> tuple[Json, Mapping[str, object]]:
        """Run the agent, the team or the plan; return its output, and a plan's steps for templates."""
        if self.workflow.plan is not None:
            build = build_agents(self.workflow, self.parsed, self.endpoints, self.tools, inputs)
            scope = Scope(build, self.tools, inputs, {}, {})
            output, outputs = await run_plan(self.name, self.workflow.plan, scope, context)
            return output, {name: {"output": value} for name, value in outputs.items()}
        if self.workflow.dual is not None:
            build = build_agents(self.workflow, self.parsed, self.endpoints, self.tools, inputs)
            return await run_dual(self.name, self.workflow.dual, self.parsed, build, inputs, context), {}
        if (tournament := self.workflow.tournament) is not None:
            from agentflow.workflow.tournaments import run_tournament

            build = build_agents(self.workflow, self.parsed, self.endpoints, self.tools, inputs)
            output = await run_tournament(
                self.name, tournament, self.parsed, build, self.endpoints, self.tools, inputs, context
            )
            return output, {}
        if (review := self.workflow.review) is not None:
            build = build_agents(self.workflow, self.parsed, self.endpoints, self.tools, inputs)
            output = await run_review(self.name, review, self.parsed, build, self.endpoints, inputs, context)
            return output, {}
        agent = self.agent(inputs)
        where = "agent.input" if self.workflow.team is None else "team.input"
        text = render(self.workflow.use.input, {"inputs": inputs}, where)
        text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
        return await agent.__run__(context, text), {}

    async def _batch(self, context: Context[object], batch: BatchUse, inputs: Mapping[str, Json]) -> Json:
        """Ask the prompts of a batch and return its figures, or the rendered `output`."""
        report = await build_batch(self.parsed, batch, self.endpoints, inputs).__run__(context)
        output = cast("Json", asdict(report))
        if self.workflow.output is None:
            return output
        run: dict[str, object] = {
            "id": context.run_id,
            "seconds": report.wall_s,
            "calls": 0,
            "calls_s": 0.0,
            "cost": report.cost,
            "tokens": report.tokens,
        }
        names: dict[str, object] = {"inputs": inputs, "output": output, "run": run}
        return render(cast("Json", self.workflow.output), names, "output")
