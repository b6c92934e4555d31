"""A model that plans a dish like a graph, once: its lines are steps of a plan that runs while it writes.

A line is a step of agentflow's plan as soon as it is whole. The robot is a resource of one, and does of
the lines that can begin the one that stands highest; what goes on by itself holds a stove, a fryer or a
sink, and not the robot. Where a step can't be done the model is asked again, what had not begun is taken
out, and the new lines join the plan that runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from agentflow.endpoints import Endpoint
from agentflow.environment import InvalidAction
from agentflow.errors import ContextOverflow, PlanFailed
from agentflow.plan import Plan
from agentflow.runtime import Context
from agentflow.runtime.signal import Signal
from agentflow_bench.robotouille.agents.chore import VERBS, Chore, next_action, read_chore
from agentflow_bench.robotouille.agents.course import Course
from agentflow_bench.robotouille.agents.diary import Diary, Entry
from agentflow_bench.robotouille.agents.prompts import prompt
from agentflow_bench.robotouille.agents.robot import Robot
from agentflow_bench.robotouille.agents.scene import kind_of, without_actions
from agentflow_bench.robotouille.agents.slow import Slow
from agentflow_bench.robotouille.episode import Ending, Episode
from agentflow_protocols.chat import ChatRequest, Message, TextPiece, Usage
from agentflow_protocols.plan import PlanLine, PlanLines, PlanStep, PlanText, PlanTextError, encode_lines
from agentflow_protocols.trace import ModelCalled, ModelFinished

__all__ = ["Plag", "Written"]

_ROUNDS = 5  # plans that a model may write for one dish
_LINES = 200  # of one plan
_ACTIONS = 60  # of one chore
_STEPS = re.compile(r"\(([^()]*\d[^()]*) steps?\b[^()]*\)", re.IGNORECASE)
_SECONDS = re.compile(r"\((\d+) s\)")
_OPEN = ("waiting", "ready", "running")


@dataclass(slots=True)
class Written:
    """What a model wrote, and what it took."""

    text: str
    usage: Usage
    cost: float | None


@dataclass(frozen=True, slots=True)
class Plag:
    """Plans by a model, and does what was planned."""

    @property
    def needs_model(self) -> bool:
        """Whether it asks a model."""
        return True

    async def play(self, context: Context[object], endpoint: Endpoint, episode: Episode) -> Ending:
        """Play the episode to its end. After a crash the kitchen is brought to where it was, first."""
        seen = without_actions(episode.observe())
        dish = _Dish(context, endpoint, episode)
        try:
            outputs = await dish.plan(seen).__run__(context)
        except PlanFailed as error:
            if isinstance(error.__cause__, ContextOverflow):
                return "context window"
            raise
        for written in outputs.values():
            if isinstance(written, Written):
                context.budget.charge(written.usage, written.cost)
        return "goal" if episode.done else "no steps left" if episode.over else "no valid plan"


class _Dish:
    """One episode: what the steps of its plan do. The diary brings it to where it was."""

    def __init__(self, context: Context[object], endpoint: Endpoint, episode: Episode) -> None:
        self._context = context
        self._endpoint = endpoint
        self._episode = episode
        self._robot = Robot(episode)
        self._diary = Diary(context)
        self._faults: dict[str, str] = {}  # of what was done: by name, "" for none
        self._slow: dict[str, Slow] = {}
        self._heard: dict[str, Signal] = {}
        self._course = Course(context)
        self._given_up = False
        for entry in self._diary.read():
            self._do(entry)

    def plan(self, seen: str) -> Plan:
        """Return the plan that begins with having its steps written."""
        kinds = [kind_of(name) for name, _ in self._episode.kitchen.objects]
        resources = {"robot": 1, **{kind: kinds.count(kind) for kind in ("stove", "fryer", "sink")}}
        library = {
            "write": self._write,
            "chore": self._chore,
            "wait": self._wait,
            "hear": self._hear,
            "idle": self._idle,
            "check": self._check,
        }
        plan = Plan(name="dish", resources=resources, library=library, on_failure="cancel")
        plan.step(self._write, 1, seen).options(name="write_1", estimate=0.0)
        return plan

    # The steps of the plan.

    async def _write(self, number: int, seen: str) -> Written:
        """Have a plan written, and add each line to the plan that runs as soon as it is whole."""
        lines = PlanLines()
        messages = [
            Message("system", "\n\n".join(map(prompt, ("role", "plag", "rules", "recipes")))),
            Message("user", seen),
        ]
        if before := self._lines_of(number):  # of a process that ended before the plan was whole
            for known in lines.feed(f"{before}\n"):
                self._add(number, known)  # as far as it is not there
            told = _SECONDS.sub(r"(\1 steps)", before)
            messages += [Message("assistant", told), Message("user", "Go on with the next line.")]
        rest = ""
        self._context.emit(ModelCalled("plag", self._endpoint.name, number, len(messages)))
        async with self._endpoint.stream(ChatRequest(messages), resources=self._context.resources) as stream:
            async for delta in stream:
                if isinstance(delta, TextPiece) and self._wanted(number):
                    *whole, rest = f"{rest}{delta.text}".split("\n")
                    for line in whole:
                        self._read(number, lines, f"{line}\n")
        if self._wanted(number):
            self._read(number, lines, rest, end=True)
        if self._wanted(number):
            there = list(self._course.arguments(f"p{number}_"))
            self._course.add("check", number, name=f"check_{number}", after=there)
            self._let_pass(number)
        reply, name = stream.reply, self._endpoint.name
        self._context.emit(
            ModelFinished(
                "plag",
                reply.model or name,
                number,
                reply.finish,
                reply.usage,
                stream.cost,
                stream.first_token_s,
                stream.seconds,
            )
        )
        return Written(reply.message.text, reply.usage, stream.cost)

    async def _chore(self, name: str, text: str, duration: str, after: list[str]) -> str:
        """Do a line of the plan, or begin it when it goes on by itself."""
        if self._episode.over:
            return "over"
        if name not in self._faults:
            self._note({"name": name, "chore": text})
        if self._faults[name]:
            self._again(_number(name), self._faults[name])
        elif name in self._slow:
            self._let_pass(_number(name))
        for ended in self._unheard():  # what follows from it may be more urgent than what is next
            await self._heard.setdefault(ended, Signal()).wait()
        return self._faults[name] or "done"

    async def _wait(self, name: str) -> str:
        """Wait for what goes on by itself."""
        slow = self._slow.get(name)
        if slow is None:
            return "done"
        text = await slow.ended()
        if not slow.finished and not self._episode.over:
            self._again(_number(name), text)
        return text

    async def _hear(self, name: str) -> str:
        """All know that something slow has ended: what waited for it can begin."""
        self._heard.setdefault(name, Signal()).set()
        return "done"

    async def _idle(self, number: int) -> str:
        """Let time pass, since the robot has nothing else to do. What follows from it comes first."""
        ended = self._unheard()
        name = f"idle_{number}"
        if not ended and name not in self._faults and not self._episode.over:
            self._note({"name": name})
            ended = self._unheard()
        if self._robot.waiting and not self._episode.over:
            self._add_idle(number + 1, ended)
        return "done"

    async def _check(self, number: int) -> str:
        """All is done: when the goal is not reached by it, more has to be."""
        if not self._episode.over:
            self._again(number, "All steps are done, and the goal is not reached.")
        return "done"

    # Lines, and the plan that runs.

    def _read(self, number: int, lines: PlanLines, text: str, *, end: bool = False) -> None:
        """Read some more of a plan; what is no plan is told to the model."""
        try:
            found = lines.feed(_STEPS.sub(_in_seconds, text))
            if end:
                found += lines.end()
            for line in found:
                self._add(number, line)
            if len(self._course.arguments(f"p{number}_")) > _LINES:
                raise InvalidAction(f"it has more than {_LINES} lines")
        except (PlanTextError, InvalidAction) as error:
            name = f"write_{number}"
            if name not in self._faults:
                self._note({"name": name, "fault": str(error)})
            self._again(number, f"The plan can't be carried out: {error}")

    def _add(self, number: int, line: PlanLine) -> None:
        """Add a line to the plan. What is slow holds the robot while it begins, and then a stove."""
        step, course = line.step, self._course
        chore = read_chore(step.text, self._episode.kitchen)
        name, after = _name(number, step.name), [_name(number, one) for one in line.after]
        said = (name, step.text, step.duration, list(line.after))
        if not chore.slow:
            course.add("chore", *said, name=name, after=after, needs={"robot": 1})
            return
        place = {VERBS[chore.verb].at: 1}
        course.add("chore", *said, name=f"{name}_begin", after=after, needs={"robot": 1, **place})
        course.add("wait", name, name=name, after=[f"{name}_begin"], needs=place)
        course.add("hear", name, name=f"{name}_heard", after=[name])

    def _lines_of(self, number: int) -> str:
        """Return the lines of a plan that are in the plan that runs, as they were written."""
        steps: list[PlanStep] = []
        edges: list[tuple[str, str]] = []
        for args in self._course.arguments(f"p{number}_").values():
            if len(args) == 4:
                name, text, duration, after = cast("tuple[str, str, str, list[str]]", args)
                own = name.partition("_")[2]
                steps.append(PlanStep(own, text, duration, (0.0, 0.0)))
                edges += [(one, own) for one in after]
        return encode_lines(PlanText(tuple(steps), tuple(edges))) if steps else ""

    def _wanted(self, number: int) -> bool:
        """Return whether a plan is the last one: no other was asked for in its place."""
        return not self._given_up and self._course.state(f"write_{number + 1}") is None

    def _again(self, number: int, fault: str) -> None:
        """Take out what has not begun, and have a plan written from here on."""
        if self._episode.over or not self._wanted(number):
            return
        self._course.stop()
        for signal in self._heard.values():
            signal.set()
        if number == _ROUNDS:
            self._given_up = True
            for slow in self._robot.slow:
                slow.end("nobody waits for it any more")
            return
        seen = without_actions(self._episode.observe())
        seen += f"\n\nThe last plan was stopped. {fault}\nPlan the rest."
        name = f"write_{number + 1}"
        self._course.add("write", number + 1, seen, name=name, after=[f"write_{number}"])

    def _let_pass(self, number: int) -> None:
        """See to it that time passes when the robot has nothing to do, once the plan is written."""
        idle = self._course.arguments("idle_")
        if self._robot.waiting and not any(self._course.state(name) in _OPEN for name in idle):
            self._add_idle(len(idle) + 1, [f"write_{number}"])

    def _add_idle(self, number: int, after: list[str]) -> None:
        self._course.add("idle", number, name=f"idle_{number}", after=after, needs={"robot": 1})

    def _unheard(self) -> list[str]:
        """Return the steps that wait for what has ended already, and are about to end by it."""
        ended = [name for name, slow in self._slow.items() if not slow.open]
        state = self._course.state
        return [name for name in ended if state(name) == "running" and state(f"{name}_heard") in _OPEN]

    # What is done, and done again after a crash.

    def _note(self, entry: Entry) -> None:
        self._diary.write(entry)
        self._do(entry)

    def _do(self, entry: Entry) -> None:
        """Do an entry of the diary: what comes of it depends on nothing else."""
        name = str(entry["name"])
        if "fault" in entry:
            self._episode.malformed += 1
            self._faults[name] = str(entry["fault"])
        elif "chore" in entry:
            self._faults[name] = self._done(name, read_chore(str(entry["chore"]), self._episode.kitchen))
        else:
            self._faults[name] = ""
            self._stand_by()

    def _done(self, name: str, chore: Chore) -> str:
        """Do a chore as far as it goes, and return why it could not be done, "" when it could."""
        robot = self._robot
        try:
            for _ in range(_ACTIONS):
                action = None if self._episode.over else next_action(robot, chore)
                if action is None:
                    break
                robot.do(action)
        except InvalidAction as error:
            self._episode.invalid += 1
            return str(error)
        slow = robot.begun(VERBS[chore.verb].action, chore.thing)
        if slow is not None:
            self._slow[name] = slow
        return ""

    def _stand_by(self) -> None:
        """Walk to what is ready first, and do nothing there until it is."""
        robot = self._robot
        if not robot.waiting:
            return
        first = robot.slow[0]
        if robot.scene.place != first.station:
            to = [action for action in robot.valid(("move",)) if action["s2"] == first.station]
            if to:
                robot.do(to[0])
        if first.open:
            robot.pass_time()


def _name(number: int, line: str) -> str:
    return f"p{number}_{re.sub(r'[^A-Za-z0-9_]', '_', line)}"


def _in_seconds(steps: re.Match[str]) -> str:
    """Return a duration in steps as one that plans know: a step is a second."""
    return f"({sum(map(int, re.findall('[0-9]+', steps[1])))} s)"


def _number(name: str) -> int:
    """Return which plan a line's step is of."""
    return int(name[1:].partition("_")[0])
