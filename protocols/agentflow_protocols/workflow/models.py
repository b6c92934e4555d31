"""The workflow file, schema version 1, as pydantic models: one model a section.

Every model refuses unknown keys and converts nothing silently. What needs a look
at more than one section (names that must exist, prices, secrets) is in `checks`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from agentflow_protocols.workflow.base import (
    BASE_URL,
    FUNCTION,
    TOOL_URL,
    Amount,
    Count,
    Duration,
    Env,
    Grace,
    Name,
    Positive,
    Section,
    several,
)
from agentflow_protocols.workflow.dual_models import DualUse
from agentflow_protocols.workflow.plan_models import PlanUse
from agentflow_protocols.workflow.review_models import ReviewUse
from agentflow_protocols.workflow.tournament_models import TournamentUse

__all__ = [
    "AgentSection",
    "AgentUse",
    "BatchUse",
    "BudgetSection",
    "CapabilitiesSection",
    "Duration",
    "EndpointSection",
    "HttpTool",
    "InputSection",
    "LimitsSection",
    "McpTool",
    "Name",
    "OutputSection",
    "PoolSection",
    "PriceSection",
    "SettingsSection",
    "Shared",
    "TeamUse",
    "TimeoutsSection",
    "TimerSection",
    "ToolSection",
    "Workflow",
    "fits",
]


def _use(value: object) -> object:
    return {"use": value} if isinstance(value, str) else value


class InputSection(Section):
    """An input of the workflow. A `record` is one line of a JSON Lines file, written `PATH:ID`."""

    type: Literal["string", "integer", "number", "boolean", "json", "record"] = "string"
    default: JsonValue = Field(None, description="Used when the input is not given; makes it optional.")
    required: bool | None = Field(None, description="Default: true unless there is a default.")
    description: str = ""
    format: Literal["jsonl"] | None = Field(None, description="The format of a record's file.")

    @property
    def has_default(self) -> bool:
        """Whether `default` was written."""
        return "default" in self.model_fields_set

    @property
    def is_required(self) -> bool:
        """Whether a run must be given this input."""
        return not self.has_default if self.required is None else self.required

    @model_validator(mode="after")
    def _default_fits(self) -> InputSection:
        if self.has_default and self.required:
            raise ValueError("an input with a default can't be required; leave one of the two out")
        if self.format is not None and self.type != "record":
            raise ValueError("`format` belongs to inputs of type record")
        if self.has_default and self.default is not None and not fits(self.type, self.default):
            raise ValueError(f"the default is no {self.type}")
        return self


def fits(kind: str, value: JsonValue) -> bool:
    """Return whether `value` is one of the input type `kind`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return whole
        case "number":
            return whole or isinstance(value, float)
        case "boolean":
            return isinstance(value, bool)
        case "record":
            return isinstance(value, dict | str)
    return True


class SettingsSection(Section):
    """How a model shall write; an agent's settings win over its endpoint's."""

    temperature: Amount | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Count | None = None
    seed: int | None = None
    stop: list[str] | None = None
    reasoning: str | None = Field(None, description="The effort of a reasoning model: low, medium, high.")
    extra: dict[str, JsonValue] | None = Field(None, description="Fields put into the request as they are.")


class PriceSection(Section):
    """USD per million tokens."""

    input: Amount
    output: Amount
    cached: Amount | None = Field(None, description="For cached input tokens; default: the input price.")


class TimeoutsSection(Section):
    """How long to wait for an endpoint."""

    connect: Duration | None = None
    first: Duration | None = Field(None, description="Until the reply begins.")
    idle: Duration | None = Field(None, description="Between two pieces of a reply.")
    total: Duration | None = None


class CapabilitiesSection(Section):
    """What differs from what is known of a service; `agentflow check --endpoints` finds it out."""

    prefill: Literal["none", "continue", "prefix", "trailing"] | None = None
    parallel_tool_calls: bool | None = None
    late_tool_results: bool | None = None
    json_schema: bool | None = None
    strict_tools: bool | None = None
    stream: bool | None = None
    images: bool | None = None
    files: bool | None = None
    grammar: bool | None = None
    tells_stop: bool | None = None
    reserves_tokens: bool | None = None
    context_window: Count | None = None


class BudgetSection(Section):
    """What may be spent in all."""

    tokens: Positive | None = None
    usd: Positive | None = None

    @model_validator(mode="after")
    def _something(self) -> BudgetSection:
        if self.tokens is None and self.usd is None:
            raise ValueError("write `tokens` or `usd`")
        return self


class PoolSection(Section):
    """Limits that several endpoints share."""

    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    concurrency: Count | None = Field(None, description="Requests in flight at once.")

    @model_validator(mode="after")
    def _something(self) -> PoolSection:
        if not self.model_fields_set:
            raise ValueError("write `requests_per_minute`, `tokens_per_minute` or `concurrency`")
        return self


class EndpointSection(Section):
    """A model and the limits of the service that runs it. Keys come from the environment only."""

    model: Annotated[str, Field(min_length=1)] = Field(
        description="openai:NAME or another provider's, any NAME with base_url, scripted:FILE,"
        " builtin:planner, local:NAME."
    )
    base_url: Annotated[str, Field(pattern=BASE_URL)] | None = None
    api_key_env: Env | None = Field(None, description="The environment variable that holds the key.")
    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    concurrency: Count | None = Field(None, description="Requests in flight at once.")
    settings: SettingsSection | None = None
    price: PriceSection | None = None
    fallback: list[Name] = Field([], description="Endpoints to try, in order, when this one fails.")
    timeouts: TimeoutsSection | None = None
    retries: Annotated[int, Field(ge=0, le=100)] | None = None
    learn: bool | None = Field(
        None, description="Learn limits from answers; default: of servers that are not on this machine."
    )
    hedge: Annotated[float, Field(gt=0, le=0.5)] | None = Field(
        None, description="The share of requests that may be sent again when they are slow."
    )
    cache: bool = Field(False, description="Answer what was asked before without asking again.")
    capabilities: CapabilitiesSection | None = None
    budget: BudgetSection | None = Field(None, description="What may be spent on it in all.")
    pool: Name | None = Field(None, description="The pool whose limits it shares.")
    priority: Annotated[int, Field(ge=-100, le=100)] | None = Field(
        None, description="Requests of a higher one go first where they wait for one limit; default 0."
    )


class McpTool(Section):
    """A tool of an MCP server. Not in this version."""

    command: list[str] = Field([])


class HttpTool(Section):
    """One HTTP request. `{{ arguments.x }}` in url, query, headers and body is the model's argument x."""

    url: Annotated[str, Field(pattern=TOOL_URL)]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    query: dict[str, JsonValue] = Field({})
    headers: dict[str, str] = Field({})
    headers_env: dict[str, Env] = Field(
        {}, description="Header name: the environment variable with its value."
    )
    body: JsonValue = Field(None, description="Text is sent as it is, anything else as JSON.")
    parameters: dict[str, JsonValue] | None = Field(
        None, description="JSON Schema of the arguments; default: each name used in a template, as text."
    )
    max_bytes: Annotated[int, Field(ge=1, le=64 * 1024 * 1024)] = 256 * 1024


class ToolSection(Section):
    """A tool: a Python function or an HTTP request, and what is different about this use of it."""

    python: Annotated[str, StringConstraints(pattern=FUNCTION)] | None = Field(
        None, description="module:function, from a file beside the workflow or an installed package."
    )
    http: HttpTool | None = None
    mcp: McpTool | None = None
    description: str | None = None
    timeout: Duration | None = None
    retries: Annotated[int, Field(ge=0, le=100)] | None = None
    max_parallel: Count | None = None
    reply: Literal["auto", "wait", "interrupt", "stream"] | None = None
    idempotent: bool | None = None
    needs_approval: bool | None = None
    estimate: Duration | None = None
    urgency: Literal["now", "idle", "silent"] | None = Field(
        None, description="What a result does to a model that is writing: cut it, wait, or only ride along."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> ToolSection:
        kinds = [name for name in ("python", "http", "mcp") if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError(f"a tool is exactly one of python, http; found {' and '.join(kinds) or 'none'}")
        if self.mcp is not None:
            raise ValueError("`mcp:` tools are not in this version; allowed: python, http")
        return self


class OutputSection(Section):
    """What an agent must answer: JSON that follows `schema`, a file's name or the schema itself."""

    schema_: JsonValue = Field(
        alias="schema", json_schema_extra={"anyOf": [{"type": "string"}, {"type": "object"}]}
    )

    @model_validator(mode="after")
    def _file_or_schema(self) -> OutputSection:
        if not isinstance(self.schema_, str | dict):
            raise ValueError("`schema` is the name of a JSON Schema file, or the schema itself")
        return self


class LimitsSection(Section):
    """Where a run stops: turns of an agent, tokens, USD, time on the run's clock."""

    turns: Count | None = None
    tokens: Count | None = None
    money: Positive | None = None
    time: Duration | None = None


class TimerSection(Section):
    """What interrupts an agent by itself, every so often."""

    every: Duration
    text: Annotated[str, Field(min_length=1)] = "time has passed"
    name: Name = Field("timer", description="What the agent hears it as.")
    after: Grace | None = Field(None, description="Until the first time; default: as long as `every`.")
    times: Count | None = Field(None, description="How often; default: as long as the run.")
    priority: Literal["now", "next", "silent"] = "next"


class AgentSection(Section):
    """A model with its instructions and tools."""

    endpoint: Name
    instructions: str | None = Field(None, description="A template; `inputs` may be used in it.")
    instructions_file: str | None = Field(None, description="A file that is used as it is.")
    description: str = Field("", description="What this agent is for, for agents that use it as a tool.")
    tools: list[Name] = Field([])
    agents: list[Name] = Field([], description="Agents that this one may call as tools.")
    handoffs: list[Name] = Field([], description="Agents that this one may hand the conversation to.")
    output: OutputSection | None = None
    settings: SettingsSection | None = None
    limits: LimitsSection | None = None
    on_finish: Literal["wait", "cancel", "detach"] | None = Field(
        None, description="What becomes of calls that still run when the agent has answered."
    )
    on_overflow: Literal["compact", "error"] | None = Field(
        None, description="What to do when the conversation outgrows the model's window."
    )
    output_retries: Annotated[int, Field(ge=0)] | None = Field(
        None, description="How often an answer that does not fit `output` is asked for again; 2 by default."
    )
    grace: Grace | None = Field(
        None, description="How long a call with `reply: interrupt` is waited for; 0 for not at all."
    )
    trap: Literal["any", "all"] | None = Field(
        None, description="What a wait for nothing in particular waits for; `any` by default."
    )
    references: bool | None = Field(
        None,
        description="Whether a call's arguments may name results that are not there yet; true by default.",
    )
    carrier: Literal["native", "cml-chat", "cml-text", "in-flight"] | None = Field(
        None, description="How the model is reached; default: native, or in-flight for an in-flight: model."
    )
    timers: list[TimerSection] = Field([], description="What interrupts the agent by itself.")

    @model_validator(mode="after")
    def _one_instruction(self) -> AgentSection:
        if self.instructions is not None and self.instructions_file is not None:
            raise ValueError("write `instructions` or `instructions_file`, not both")
        return self


class AgentUse(Section):
    """The agent that is run, and the template of what it is told."""

    use: Name
    input: str = Field("{{ inputs.input }}", description="A template; default: the input named `input`.")


class TeamUse(Section):
    """The team that is run: who leads, who works, and the template of what the leader is told."""

    leader: Name
    workers: Annotated[list[Name], Field(min_length=1)]
    input: str = Field("{{ inputs.input }}", description="A template; default: the input named `input`.")


class BatchUse(Section):
    """The experiment that is run: a file of prompts, and how they are asked."""

    file: str = Field(description="A .jsonl or .csv file; a template, in which `inputs` may be used.")
    endpoint: Name | None = Field(
        None, description="Who answers every prompt; default: whom its `api` and `model_name` name."
    )
    output: str | None = Field(None, description="The completed file; default: NAME-completed.jsonl.")
    data_folder: str | None = Field(None, description="A folder with input, output and media, as prompto's.")
    max_queries: Positive | None = Field(None, description="Requests a minute of a queue; default: learned.")
    max_attempts: Count = 5
    parallel: bool = Field(False, description="A queue for each group or api.")
    rates: dict[str, JsonValue] = Field({}, description="Requests a minute by group or api, and model.")
    tokens_per_minute: Positive | None = None
    concurrency: Count | None = None
    timeout: Duration | None = Field(None, description="For one answer; default: learned.")
    in_order: bool = Field(False, description="Also write the output in the order of the input.")
    csv: bool = Field(False, description="Also write the output as CSV.")
    scorers: list[Literal["match", "includes"]] = Field([])
    resume: Literal["auto", "resume", "fresh"] = "auto"

    @model_validator(mode="after")
    def _one_place(self) -> BatchUse:
        if self.output is not None and self.data_folder is not None:
            raise ValueError("write `output` or `data_folder`, not both")
        return self


class Shared(Section):
    """A file for `include:`, which holds endpoints, tools and agents."""

    agentflow: Literal[1] = 1
    pools: dict[Name, PoolSection] = Field({})
    endpoints: dict[Name, EndpointSection] = Field({})
    tools: dict[Name, ToolSection] = Field({})
    agents: dict[Name, AgentSection] = Field({})


_RUNNABLE = ("agent", "team", "plan", "dual", "tournament", "review", "batch")


class Workflow(Section):
    """A workflow file, schema version 1."""

    model_config = ConfigDict(
        title="agentflow workflow, version 1",
        json_schema_extra={"oneOf": [{"required": [name]} for name in _RUNNABLE]},
    )

    agentflow: Literal[1] = Field(description="The version of this schema.")
    name: Name | None = Field(None, description="Default: the file's name.")
    description: str = ""
    include: Annotated[list[str], BeforeValidator(several, json_schema_input_type=str | list[str])] = Field(
        [], description="Files with further endpoints, tools and agents; they include nothing themselves."
    )
    inputs: dict[Name, InputSection] = Field({})
    pools: dict[Name, PoolSection] = Field({}, description="Limits that endpoints share.")
    endpoints: dict[Name, EndpointSection] = Field({})
    tools: dict[Name, ToolSection] = Field({})
    agents: dict[Name, AgentSection] = Field({})
    agent: Annotated[AgentUse | None, BeforeValidator(_use, json_schema_input_type=str | AgentUse)] = Field(
        None, description="The agent to run: its name, or {use: NAME, input: TEMPLATE}."
    )
    team: TeamUse | None = Field(
        None, description="The team to run: {leader: NAME, workers: [NAME, …], input: TEMPLATE}."
    )
    batch: BatchUse | None = Field(None, description="The experiment to run: {file: PATH, endpoint: NAME}.")
    plan: PlanUse | None = Field(None, description="The plan to run: steps by name, and their resources.")
    dual: DualUse | None = Field(
        None, description="The game to run: a world, a fast function, slow processes."
    )
    tournament: TournamentUse | None = Field(
        None, description="The tournament to run: items, judges, and who makes, reviews and studies them."
    )
    review: ReviewUse | None = Field(None, description="The review to run: records, reviewers, rounds.")
    output: JsonValue = Field(
        None, description="Templates; `inputs`, `output`, `run` and a plan's `steps` may be used in them."
    )
    limits: LimitsSection | None = None

    @property
    def use(self) -> AgentUse | TeamUse:
        """The agent or the team that is run."""
        use = self.agent or self.team
        assert use is not None
        return use

    @property
    def entry(self) -> list[str]:
        """The names of the agents that are run, those aside that they use: a team's leader comes first."""
        if self.agent is not None:
            return [self.agent.use]
        if self.plan is not None:
            return self.plan.agents()
        if self.dual is not None:
            return self.dual.agents()
        if self.review is not None:
            return self.review.agents()
        if self.tournament is not None:
            return self.tournament.asked()
        return [self.team.leader, *self.team.workers] if self.team is not None else []
