"""Who speaks for the model's side of a conversation: an agent's part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from agentflow.errors import UserError
from agentflow.session.blocks import BUILTINS, TRANSFER, standing
from agentflow.session.carrier import Carrier
from agentflow.session.estimates import about
from agentflow.session.references import accepting
from agentflow.tools import Tool
from agentflow_protocols.chat import Json, Message, Settings, ToolSpec

__all__ = ["OnFinish", "OnOverflow", "Persona", "TrapMode"]

OnFinish = Literal["wait", "cancel", "detach"]
OnOverflow = Literal["compact", "error"]
TrapMode = Literal["any", "all"]


@dataclass(slots=True)
class Persona:
    """An agent's part of a conversation. `trap` says what a wait without names waits for:
    `any` result, or `all` of those that run. With `references` a call's arguments may name
    the results of earlier calls. `estimates` are the seconds that the model is told of.
    `made` keeps what tools look like to the model, for all conversations of one agent."""

    name: str
    carrier: Carrier
    system: str
    tools: Mapping[str, Tool[..., object]] = field(default_factory=dict)
    handoffs: Mapping[str, ToolSpec] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    output: Mapping[str, Json] | None = None
    output_name: str = "output"
    on_finish: OnFinish = "wait"
    on_overflow: OnOverflow = "compact"
    grace: float | None = None
    trap: TrapMode = "any"
    references: bool = True
    made: dict[tuple[str, str], ToolSpec] = field(default_factory=dict)
    estimates: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name in self.tools:
            if name in BUILTINS or name.startswith(TRANSFER):
                raise UserError(f"agent {self.name}: a session has its own tool `{name}`; rename yours")

    @property
    def beside(self) -> bool:
        """Whether any of its tools may run while the model goes on."""
        return any(tool.options.reply != "wait" for tool in self.tools.values())

    def specs(self, artifacts: bool) -> list[ToolSpec]:
        """Return what the model may call."""
        specs = [self._spec(tool) for tool in self.tools.values()]
        if self.beside:
            own = ("cancel", "progress") if self.carrier.markup else ("wait", "cancel", "progress")
            specs += [BUILTINS[name] for name in own]
        if artifacts:
            specs.append(BUILTINS["read"])
        return specs + list(self.handoffs.values())

    def _spec(self, tool: Tool[..., object]) -> ToolSpec:
        seconds = (self.estimates or {}).get(tool.name)
        takes = f"Takes {about(seconds)}." if seconds is not None else ""
        spec = self.made.get((tool.name, takes))
        if spec is None:
            spec = tool.spec
            if takes:
                spec = replace(spec, description=f"{spec.description.rstrip()} {takes}".lstrip())
            if self._refers and tool.options.reply != "wait":
                spec = replace(spec, parameters=accepting(spec.parameters))
            self.made[tool.name, takes] = spec
        return spec

    @property
    def _refers(self) -> bool:
        return self.references and (self.carrier.markup is not None or self.carrier.parallel)

    def system_message(self) -> list[Message]:
        """Return the system message, with the session's standing words when there are tools."""
        words = ""
        if self.beside:
            words = standing(self.carrier.markup is not None, self.carrier.parallel, self._refers)
        text = "\n\n".join(part for part in (self.system, words) if part)
        return [Message("system", text, cache=True)] if text else []
