"""Planner: a model turns a task into a plan, which is checked, and can run while it is being written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentflow.endpoints import Endpoint
from agentflow.endpoints.talk import Talk
from agentflow.errors import UserError
from agentflow.plan.drawn import (
    Do,
    arguments,
    draw,
    known_plan,
    read_lines,
    read_structured,
    read_written,
    shortest,
    sleep_step,
    step_names,
)
from agentflow.plan.live import LivePlan
from agentflow.plan.methods import Method, method_of
from agentflow.plan.outputs import Outputs
from agentflow.plan.plan import Plan
from agentflow.plan.prompts import fault_text, plan_messages, question_messages
from agentflow.runtime.context import Context
from agentflow_protocols.chat import ChatRequest, Message, Settings, TextPiece, Usage
from agentflow_protocols.duration import format_seconds
from agentflow_protocols.plan import (
    FORMS,
    PLAN_SCHEMA,
    Form,
    PlanFault,
    PlanLine,
    PlanLines,
    PlanStep,
    PlanText,
    PlanTextError,
    encode_lines,
)

if TYPE_CHECKING:
    from agentflow.plan.step import Step

__all__ = ["Answer", "Planned", "Planner"]

_ATTEMPTS = 3  # replies of `plag_checked`
_WRITER = "write"


@dataclass(slots=True)
class Answer:
    """What a model said of a question. `total` is computed from its plan, None where it is to be read."""

    text: str
    messages: list[Message]
    total: tuple[float, float] | None = None
    plan: PlanText | None = None
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    attempts: int = 1
    fault: str | None = None


@dataclass(slots=True)
class Planned:
    """A plan that a model made. `total` is its shortest time in seconds (fewest, most), computed."""

    plan: Plan
    text: PlanText
    total: tuple[float, float]
    usage: Usage
    cost: float | None
    attempts: int
    replies: list[str]


class Planner:
    """Makes plans by a model. Run it with a task and it plans and does it; the output is an `Outputs`.

    `method` is one of `agentflow.plan.METHODS`, such as `few_shot(3)`; `form` how graphs are written. A
    reply that is no plan is told its faults, up to `attempts` replies in all (default: 3 by
    `plag_checked`, else 1). `do` does a step: an agent, or a function of its text and its seconds;
    default: it takes its time and does nothing.
    """

    kind = "planner"
    output_type = Outputs

    def __init__(
        self,
        model: str | Endpoint,
        *,
        method: str | Method = "plag_checked",
        form: Form = "adjacency_list",
        attempts: int | None = None,
        do: Do | None = None,
        name: str = "planner",
    ) -> None:
        self.endpoint = Endpoint(model) if isinstance(model, str) else model
        self.method = method_of(method)
        if form not in FORMS:
            raise UserError(f"no form `{form}` of a graph (allowed: {', '.join(FORMS)})")
        self.form: Form = form
        if attempts is not None and attempts < 1:
            raise UserError(f"attempts must be 1 or more, not {attempts}")
        self.attempts = attempts or (_ATTEMPTS if self.method.name == "plag_checked" else 1)
        self.do = do
        self.name = name

    def __repr__(self) -> str:
        return f"Planner({self.endpoint.name!r}, method={str(self.method)!r})"

    async def plan(self, task: str, *, context: Context[object] | None = None) -> Planned:
        """Return a plan for a task. Raises `PlanTextError` when no reply is one.

        With a `context` each reply is a step of its run.
        """
        known = self._known(task)
        talk = Talk(self.endpoint, context, name=self.name)
        messages = plan_messages(task, known, self.method, self.form)
        text = await self._read(talk, messages, [] if known is None else known.names)
        plan = draw(text, self.do, name=self.name)
        return Planned(plan, text, shortest(text), talk.usage, talk.cost, len(talk.replies), talk.replies)

    async def answer(
        self,
        title: str,
        plan: PlanText,
        *,
        messages: Sequence[Message] | None = None,
        context: Context[object] | None = None,
    ) -> Answer:
        """Ask a model for the shortest time of a plan that is told, and return what it said.

        By `plag_checked` and `plag_run` it writes the plan, and the time is computed; an answer that is
        no plan has a `fault`. `messages` put the question in other words.
        """
        talk = Talk(self.endpoint, context, name=self.name)
        asked = list(messages or question_messages(title, plan, self.method, self.form))
        answer = Answer("", asked)
        if self.method.computed:
            try:
                answer.plan = await self._read(talk, asked, plan.names)
                answer.total = shortest(answer.plan)
            except PlanTextError as error:
                answer.fault = str(error)
        else:
            await talk.ask(asked)
        answer.text = talk.replies[-1]
        answer.usage, answer.cost, answer.attempts = talk.usage, talk.cost, len(talk.replies)
        return answer

    async def __run__(self, context: Context[object], input: str, /) -> Outputs:
        """Plan a task and do it; by `plag_run` steps begin while later ones are still being written."""
        if self.method.name == "plag_run":
            plan = Plan(name=self.name, library={"do": self.do or sleep_step})
            plan.step(self._write, input).options(name=_WRITER)
        else:
            plan = (await self.plan(input, context=context)).plan
        return (await context.run(plan, None, key="plan")).output

    def _known(self, task: str) -> PlanText | None:
        known = known_plan(task)
        if known is None and self.method.name == "plag_explicit":
            raise UserError(
                "plag_explicit needs a task that lists its steps with durations, and their order; plag_bag"
                " builds the graph itself"
            )
        return known

    async def _read(self, talk: Talk, messages: Sequence[Message], wanted: Sequence[str]) -> PlanText:
        """Ask until a reply is a plan. Raises `PlanTextError`, of the last reply."""
        structured = self.method.name == "plag_checked"
        read: Callable[[str], PlanText] = read_lines if self.method.name == "plag_run" else read_written
        said = list(messages)
        while True:
            text = await talk.ask(said, output=PLAN_SCHEMA if structured else None)
            try:
                return read_structured(text, wanted) if structured else read(text)
            except PlanTextError as error:
                if len(talk.replies) >= self.attempts:
                    if self.attempts == 1:
                        raise
                    first = PlanFault(f"no plan after {self.attempts} replies")
                    raise PlanTextError(first, *error.faults) from None
                said += [Message("assistant", text or "-"), Message("user", fault_text(error.faults))]

    async def _write(self, context: Context[object], task: str) -> str:
        """Have the plan written, and add each step to the running plan as soon as its line is whole."""
        live = LivePlan.of(context)
        lines = PlanLines()
        names: dict[str, str] = {}
        messages = plan_messages(task, None, self.method, self.form)
        if (before := self._written(live)).steps:  # by a process that ended before the plan was whole
            text = encode_lines(before)
            names.update({line.step.name: _live_name(line.step.name) for line in lines.feed(f"{text}\n")})
            messages += [Message("assistant", text), Message("user", "Go on with the next line.")]
        request = ChatRequest(messages, settings=Settings())
        async with self.endpoint.stream(request, resources=context.resources) as stream:
            async for delta in stream:
                if isinstance(delta, TextPiece):
                    self._add(live, lines.feed(delta.text), names)
        self._add(live, lines.end(), names)
        context.budget.charge(stream.reply.usage, stream.cost)
        return stream.reply.message.text

    def _add(self, live: LivePlan, found: Sequence[PlanLine], names: dict[str, str]) -> None:
        for line in found:
            names[line.step.name] = _live_name(line.step.name)
            live.add(
                "do",
                *arguments(line.step, self.do),
                name=names[line.step.name],
                after=[names[one] for one in line.after],
                estimate=line.step.seconds[1],
            )

    def _written(self, live: LivePlan) -> PlanText:
        """Return the steps that were added already, as lines that the model has written."""

        def named(step: Step[object]) -> str:
            rest = step.name.removeprefix("step_")
            return rest if rest[:1].isdigit() else step.name

        steps: list[PlanStep] = []
        edges: list[tuple[str, str]] = []
        for step in live.steps:
            if step.name != _WRITER:
                seconds = step.said.estimate or 0.0
                steps.append(
                    PlanStep(named(step), str(step.args[0]), format_seconds(seconds), (seconds, seconds))
                )
                edges += [(named(one), named(step)) for one in step.said.after]
        return PlanText(tuple(steps), tuple(edges))


def _live_name(name: str) -> str:
    return step_names([name])[name]
