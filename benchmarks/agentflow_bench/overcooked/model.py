"""A model as a mind: what it is told, and how its answers are read.

An answer is JSON, a list of tasks. A task with `when` is a rule, whose condition runs in a sandbox at
each tick; without one it holds until the next answer. What can't be read costs that answer: the game
goes on, and the report counts it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from agentflow import Context
from agentflow.dual import Brief, Scene, Update
from agentflow.dual.rules import unfenced
from agentflow.endpoints import Endpoint
from agentflow.endpoints.talk import Talk
from agentflow.errors import UserError
from agentflow_bench.overcooked.fast import allowed
from agentflow_bench.overcooked.kitchen import floor_of
from agentflow_bench.overcooked.mind import TICK
from agentflow_bench.overcooked.seen import Seen
from agentflow_protocols.chat import Json, Message

__all__ = ["Asking", "read_macro", "read_tasks", "read_thoughts"]

_KITCHEN = """\
You cook onion soup together with a partner, in real time. Three onions in a pot (P) cook by themselves \
for 20 ticks; then the soup is put on a dish and served at the window (S) for 20 points. Onions come from \
O, dishes from D; X is a counter. Each cook carries one thing. Time goes on while you think.
A fast executor walks and acts for you. You say what it shall do: a role, or one macro.
Roles: all (whatever is wanted; the executor's own), onion (fill pots only), dish (plate and serve only), \
solo (everything, as if alone), supply (put onions on counters for the partner).
Macros: onion, fill, dish, plate, serve, pass, clear, take, wait."""

_ASSIGN = """
Answer with a JSON list of tasks in a ```json block, most important first, after one sentence of thought.
A task is {"do": {"role": NAME}} or {"do": {"macro": NAME}}. [] leaves all to the executor."""

_RULES = """
With "when" a task holds only while a Python expression over `state` does: \
{"when": "state['partner']['holds'] == 'dish'", "do": {"role": "onion"}}."""

_CHOOSE = """
Answer with one macro as JSON in a ```json block: {"macro": NAME}."""

_REFLECT = """
Look back. Answer with `Guideline:` and at most 100 words on how to play better with this partner."""

_BELIEVE = """
Then answer with `Belief:` and at most 100 words on what the partner does and prefers, and on leaves."""

_THOUGHTS = re.compile(
    r"\b(guideline|belief)\W*:(.*?)(?=\n\W*(?:guideline|belief)\W*:|\Z)", re.IGNORECASE | re.DOTALL
)
_LONGEST = 2000  # characters of a guideline or a belief


@dataclass(frozen=True, slots=True)
class Asking:
    """A mind that asks an endpoint.

    On the virtual clock an answer takes `latency` ticks, or, where `per_tick` is given, as many as its
    tokens divided by that; on the wall clock it takes what it takes. With `sandbox` rules are allowed.
    So many of its last `turns` in a game are told with the next question.
    """

    endpoint: Endpoint
    tom: bool = True
    sandbox: bool = False
    latency: float | None = None
    per_tick: float | None = None
    tick: float = TICK
    turns: int = 0
    _said: dict[str, list[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How a report calls it."""
        return self.endpoint.name

    async def assign(self, context: Context[object], brief: Brief[object, object]) -> object:
        """Return the tasks of an answer."""
        what = _ASSIGN + (_RULES if self.sandbox else "")
        text = await self._ask(context, brief, what, scenes=3, turns=self.turns)
        return read_tasks(text, brief.tick, rules=self.sandbox)

    async def reflect(self, context: Context[object], brief: Brief[object, object]) -> object:
        """Return the guideline of an answer, and the belief where there is to be one."""
        text = await self._ask(context, brief, _REFLECT + (_BELIEVE if self.tom else ""), scenes=60)
        return read_thoughts(text, tom=self.tom)

    async def choose(self, context: Context[object], brief: Brief[object, object]) -> object:
        """Return the macro of an answer."""
        return read_macro(await self._ask(context, brief, _CHOOSE, scenes=3), brief.tick)

    async def _ask(
        self,
        context: Context[object],
        brief: Brief[object, object],
        what: str,
        *,
        scenes: int,
        turns: int = 0,
    ) -> str:
        talk = Talk(self.endpoint, context, name="mind")
        said = self._said.setdefault(context.run_id.rpartition("/")[0], [])
        told = _told(brief, scenes, tom=self.tom)
        if turns and said:
            told = "\n".join(["What you said before:", *said, "", told])
        text = await talk.ask([Message("system", _KITCHEN + what), Message("user", told)])
        if turns:
            said.append(f"tick {brief.tick}: {text.strip()[:_LONGEST]}")
            del said[:-turns]
        ticks = self.latency
        if self.per_tick is not None:
            ticks = talk.usage.output_tokens / self.per_tick
        if ticks:
            await asyncio.sleep(max(0.0, ticks - 0.5) * self.tick)
        return text


def _told(brief: Brief[object, object], scenes: int, *, tom: bool) -> str:
    """Return the kitchen as text: its map, the last scenes, the present, what was thought before."""
    seen = cast("Seen", brief.seen)
    history = cast("Sequence[Scene[Seen, str]]", brief.history)
    step = max(1, len(history) // 10)
    lines = ["Map (columns from 0, rows from 0):", *floor_of(seen.layout).rows, "", "History:"]
    lines += [_line(scene.seen, scene.action) for scene in list(history)[-scenes::step]]
    lines += ["", f"State: {json.dumps(seen.as_json())}"]
    for name in ("guideline", *(["belief"] if tom else [])):
        if brief.slots.get(name):
            lines += ["", f"{name.capitalize()}: {brief.slots[name]}"]
    lines += [f"A person says: {message}" for message in brief.messages]
    return "\n".join(lines)


def _line(seen: Seen, action: str) -> str:
    ours, theirs = seen.chefs
    pots = ", ".join(
        f"{pot.onions} onions" if pot.left is None else "ready" if not pot.left else f"cooks {pot.left}"
        for pot in seen.pots
    )
    return (
        f"tick {seen.tick}, score {seen.score}: I at {ours.at} with {ours.holds or 'nothing'} did {action};"
        f" partner at {theirs.at} with {theirs.holds or 'nothing'}; pots: {pots}"
    )


def read_tasks(text: str, tick: int, *, rules: bool) -> Update:
    """Return an answer's tasks as an assignment, or, where one has a condition, as a policy.

    Raises `UserError` for what is none; an empty list clears both.
    """
    found = _json(text)
    tasks = found if isinstance(found, list) else [found]
    if not all(isinstance(task, dict) for task in tasks):
        raise UserError(
            "the answer is no list of tasks: objects with `do`, and `when` where one is conditional"
        )
    read = [cast("dict[str, Json]", task) for task in tasks]
    whats = [task.get("do", {key: task[key] for key in ("role", "macro") if key in task}) for task in read]
    for what in whats:
        if (wrong := allowed(what)) is not None:
            raise UserError(wrong)
    if rules:
        made = [
            {"when": task.get("when", "True"), "do": what} for task, what in zip(read, whats, strict=True)
        ]
        return Update({"assignment": []}, policy=made)
    if any("when" in task for task in read):
        raise UserError("a task has a condition, and no sandbox is there to run it in")
    return Update({"assignment": [{**cast("Mapping[str, Json]", what), "asked": tick} for what in whats]})


def read_macro(text: str, tick: int) -> Update:
    """Return an answer's macro. Raises `UserError`."""
    found = _json(text)
    one = found[0] if isinstance(found, list) and found else found
    if (wrong := allowed(one)) is not None or not isinstance(one, dict):
        raise UserError(wrong or "no macro")
    return Update({"assignment": [{**one, "asked": tick}]})


def read_thoughts(text: str, *, tom: bool) -> Update:
    """Return an answer's guideline and belief; what is missing leaves what there was."""
    found = {name.lower(): said.strip(" *\n")[:_LONGEST] for name, said in _THOUGHTS.findall(text)}
    if "guideline" not in found and "belief" not in found:
        found["guideline"] = text.strip()[:_LONGEST]
    return Update({name: said for name, said in found.items() if said and (tom or name != "belief")})


def _json(text: str) -> Json:
    try:
        found: Json = json.loads(unfenced(text))
    except (json.JSONDecodeError, RecursionError):
        raise UserError(f"the answer has no JSON to read: {' '.join(text.split())[:60]!r}") from None
    return found
