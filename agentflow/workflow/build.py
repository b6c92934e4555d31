"""From a checked workflow to the objects that the SDK builds: endpoints, tools, agents."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TypeVar, cast

from agentflow.agent import Agent, JsonSchema
from agentflow.batch.apis import Options
from agentflow.endpoints import Allowance, Endpoint, Pool, Price, ReplyCache, Timeouts
from agentflow.errors import UserError
from agentflow.runtime import Limits, Timer
from agentflow.session import Carrier, CmlChat, CmlText, InFlight
from agentflow.team import Team
from agentflow.tools import Tool, from_function
from agentflow.tools.options import OptionValues
from agentflow.workflow.check import folder_of, read_text
from agentflow.workflow.http_tool import HttpCall, http_parameters
from agentflow.workflow.modules import load_function
from agentflow.workflow.templates import render
from agentflow_protocols.chat import Json, Settings
from agentflow_protocols.workflow import (
    FREE_SCHEMES,
    AgentSection,
    EndpointSection,
    LimitsSection,
    OutputSection,
    Parsed,
    Problem,
    SettingsSection,
    TeamUse,
    ToolSection,
    Workflow,
)

__all__ = ["build_agents", "build_endpoints", "build_limits", "build_team", "build_tools", "endpoint_options"]

T = TypeVar("T")
AnyTool = Tool[..., object]
_OPTIONS = (
    "timeout",
    "retries",
    "max_parallel",
    "reply",
    "idempotent",
    "needs_approval",
    "estimate",
    "urgency",
)


def build_endpoints(workflow: Workflow, parsed: Parsed, model: str | None) -> dict[str, Endpoint]:
    """Return the endpoints by name. `model`, when given, stands in the place of every model."""
    built: dict[str, Endpoint] = {}
    pools = {
        name: Pool(name, **section.model_dump(exclude_none=True)) for name, section in workflow.pools.items()
    }

    def build(name: str) -> Endpoint:
        if name not in built:
            section = workflow.endpoints[name]
            fallback = [] if model else [build(other) for other in section.fallback]
            pool = None if section.pool is None else pools[section.pool]
            located = model or _located(section.model, parsed, name)
            built[name] = _endpoint(section, located, model, fallback, pool)
        return built[name]

    for name in workflow.endpoints:
        build(name)
    return built


def _located(model: str, parsed: Parsed, endpoint: str) -> str:
    """Return the model's name; the file of a scripted one as a path from the working folder."""
    scheme, _, rest = model.partition(":")
    if scheme == "scripted":
        return f"scripted:{folder_of(parsed, 'endpoints', endpoint) / rest}"
    if scheme in ("in-flight", "local") and rest.endswith(".gguf"):
        return f"{scheme}:{folder_of(parsed, 'endpoints', endpoint) / rest}"
    return model


def _endpoint(
    section: EndpointSection,
    model: str,
    replaced: str | None,
    fallback: list[Endpoint],
    pool: Pool | None = None,
) -> Endpoint:
    if section.capabilities is not None:
        plain = section.model_copy(update={"capabilities": None})
        known = _endpoint(plain, model, replaced, []).capabilities
        capabilities = replace(known, **section.capabilities.model_dump(exclude_none=True))
    else:
        capabilities = None
    options = endpoint_options(section)
    options["fallback"], options["pool"] = fallback, pool
    if model.partition(":")[0] in FREE_SCHEMES:
        options.setdefault("price", Price(0.0, 0.0))
    return Endpoint(
        model,
        base_url=None if replaced else section.base_url,
        api_key_env=None if replaced else section.api_key_env,
        capabilities=capabilities,
        **options,
    )


def endpoint_options(section: EndpointSection) -> Options:
    """Return what a section says of its endpoint, beside its place and what it can do."""
    said: dict[str, object] = {
        name: value
        for name in ("requests_per_minute", "tokens_per_minute", "concurrency", "learn", "hedge", "priority")
        if (value := getattr(section, name)) is not None
    }
    if section.settings is not None:
        said["settings"] = _settings(section.settings)
    if section.price is not None:
        said["price"] = Price(section.price.input, section.price.output, section.price.cached)
    if section.retries is not None:
        said["retry"] = section.retries + 1
    if section.timeouts is not None:
        said["timeouts"] = Timeouts(**section.timeouts.model_dump(exclude_none=True))
    if section.cache:
        said["cache"] = ReplyCache()
    if section.budget is not None:
        said["allowance"] = Allowance(tokens=section.budget.tokens, usd=section.budget.usd)
    return cast("Options", said)


def _settings(section: SettingsSection | None) -> Settings | None:
    if section is None:
        return None
    values = section.model_dump(exclude_none=True)
    if "stop" in values:
        values["stop"] = tuple(values["stop"])
    return Settings(**values)


def build_limits(*sections: LimitsSection | None) -> Limits | None:
    """Return the tightest of the limits of some sections; None when there are none."""
    tightest: dict[str, float] = {}
    for section in sections:
        for name, value in (section.model_dump(exclude_none=True) if section else {}).items():
            tightest[name] = min(value, tightest.get(name, value))
    return Limits(**tightest) if tightest else None  # type: ignore[arg-type]


def build_tools(workflow: Workflow, parsed: Parsed) -> dict[str, AnyTool]:
    """Return the tools by name; Python modules are run. Faults go to `parsed`, with their positions."""
    loaded: dict[Path, ModuleType] = {}
    built: dict[str, AnyTool] = {}
    faults: list[Problem] = []
    for name, section in workflow.tools.items():
        try:
            built[name] = _tool(name, section, folder_of(parsed, "tools", name), loaded)
        except UserError as error:
            field = "python" if section.python else "http"
            faults.append(parsed.report(("tools", name, field), str(error)))
    parsed.add(faults)
    return built


def _tool(name: str, section: ToolSection, folder: Path, loaded: dict[Path, ModuleType]) -> AnyTool:
    options = cast(
        "OptionValues", {key: value for key in _OPTIONS if (value := getattr(section, key)) is not None}
    )
    if section.python is not None:
        function = load_function(section.python, folder, loaded)
        if not callable(function):
            raise UserError(f"{section.python} is a {type(function).__name__}, no function")
        made: AnyTool = from_function(function, name=name, description=section.description, **options)
        return made
    if section.http is None:
        raise UserError(f"tool `{name}` is neither python nor http")
    description = section.description or f"{section.http.method} {section.http.url.partition('?')[0]}"
    call = HttpCall(name, section.http)
    return Tool.from_schema(name, description, http_parameters(section.http), call, **options)


def build_agents(
    workflow: Workflow,
    parsed: Parsed,
    endpoints: Mapping[str, Endpoint],
    tools: Mapping[str, AnyTool],
    inputs: Mapping[str, Json],
) -> Callable[[str], Agent[object, Json]]:
    """Return a function that gives the agent of a name, its instructions rendered with `inputs`."""
    built: dict[str, Agent[object, Json]] = {}

    def build(name: str) -> Agent[object, Json]:
        if name in built:
            return built[name]
        section = workflow.agents[name]
        own = [tools[tool] for tool in section.tools]
        for other in section.agents:
            own.append(build(other).as_tool(description=workflow.agents[other].description or None))
        agent = Agent[object, Json](
            _carrier(section, endpoints[section.endpoint]),
            name=name,
            instructions=_instructions(name, section, parsed, inputs),
            tools=own,
            output=_output(section.output, folder_of(parsed, "agents", name)),
            settings=_settings(section.settings),
            limits=build_limits(section.limits),
            on_finish=section.on_finish or "wait",
            on_overflow=section.on_overflow or "compact",
            output_retries=2 if section.output_retries is None else section.output_retries,
            grace=section.grace,
            trap=section.trap or "any",
            references=section.references is not False,
        )
        for timer in section.timers:
            ticks = Timer(timer.every, timer.text, after=timer.after, times=timer.times)
            agent = agent.listen(ticks, name=timer.name, priority=timer.priority)
        built[name] = agent
        agent.handoffs = {other: build(other) for other in section.handoffs}  # may lead back here
        return agent

    return build


def build_team(
    workflow: Workflow, team: TeamUse, build: Callable[[str], Agent[object, Json]]
) -> Team[object, Json]:
    """Return the team of a workflow, of agents that `build` gives by name."""
    about = {name: workflow.agents[name].description for name in team.workers}
    workers = {name: build(name) for name in team.workers}
    return Team(build(team.leader), workers, name=workflow.name or "team", about=about)


def _carrier(section: AgentSection, endpoint: Endpoint) -> Endpoint | Carrier:
    match section.carrier:
        case "cml-chat":
            return CmlChat(endpoint)
        case "cml-text":
            return CmlText(endpoint)
        case "in-flight":
            return InFlight(endpoint)
    return endpoint


def _instructions(name: str, section: AgentSection, parsed: Parsed, inputs: Mapping[str, Json]) -> str:
    if section.instructions_file is not None:
        return read_text(folder_of(parsed, "agents", name) / section.instructions_file)
    text = render(section.instructions or "", {"inputs": inputs}, f"agents.{name}.instructions")
    return text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)


def _output(section: OutputSection | None, folder: Path) -> type[Json] | JsonSchema:
    if section is None:
        return cast("type[Json]", str)
    schema = section.schema_
    if isinstance(schema, str):
        schema = json.loads(read_text(folder / schema))
    return JsonSchema(cast("dict[str, Json]", schema))
