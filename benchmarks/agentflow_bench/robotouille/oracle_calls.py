"""How the oracle acts by tools: the chef's plan as calls, without its idle waits, several a message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.builtin.scripted import ScriptedCall, ScriptedReply
from agentflow.errors import UserError
from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.agents.calls import called
from agentflow_bench.robotouille.agents.robot import Robot
from agentflow_bench.robotouille.agents.slow import Slow
from agentflow_bench.robotouille.chef.plan import plan_actions
from agentflow_bench.robotouille.episode import Episode
from agentflow_bench.robotouille.instance import Instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_protocols.chat import ChatRequest, Json
from agentflow_protocols.cml import encode_call, encode_trap

__all__ = ["Said", "next_calls", "own_actions", "planned_calls"]


@dataclass(frozen=True, slots=True)
class Said:
    """A call, or, without a name, the wait for the call of number `until`, counted from 1."""

    name: str = ""
    given: tuple[tuple[str, str], ...] = ()
    until: int = 0


def planned_calls(instance: Instance) -> list[Said]:
    """Return the chef's plan from a kitchen's beginning, as calls and waits. Raises `UserError`."""
    robot = Robot(Episode(instance))
    said: list[Said] = []
    started: dict[Slow, int] = {}
    for action in own_actions(plan_actions(robot.kitchen), robot.kitchen):
        if action.name == "wait":
            before = list(robot.slow)
            robot.wait()
            for slow in before:
                if not slow.open and slow.finished:
                    said.append(Said(until=started[slow]))
            continue
        name, given = called(action)
        begun = robot.do(action)
        if name == "cut" and said and said[-1] == Said(name, tuple(given.items())):
            continue  # one call makes all the cuts
        said.append(Said(name, tuple(given.items())))
        if begun is not None:
            started[begun] = len(said)
    return said


def own_actions(actions: Sequence[Action], kitchen: Kitchen) -> Sequence[Action]:
    """Return what the first player does. Raises `UserError` where others must do more than nothing."""
    players = len(kitchen.players)
    if any(action.name != "wait" for turn, action in enumerate(actions) if turn % players):
        raise UserError(f"{kitchen.instance.name}: other players have to get out of the way")
    return actions[::players]


def next_calls(said: Sequence[Said], request: ChatRequest, most: int) -> ScriptedReply:
    """Return what is said next in a conversation: at most so many calls, up to the next wait."""
    markup = not request.tools
    told = [message for message in request.messages if message.role == "assistant"]
    if markup:
        done = sum(message.text.count("[CALL]") + message.text.count("[TRAP]") for message in told)
    else:
        done = sum(len(message.calls) for message in told)
    if done >= len(said):
        return ScriptedReply("Finish")
    chosen: list[tuple[int, Said]] = []
    for number, one in enumerate(said[done:], done + 1):
        chosen.append((number, one))
        if len(chosen) == most or not one.name:
            break
    if markup:
        return ScriptedReply("\n".join(_block(number, one) for number, one in chosen))
    return ScriptedReply(calls=[_call(one) for _, one in chosen])


def _call(said: Said) -> ScriptedCall:
    if said.name:
        return ScriptedCall(said.name, dict(said.given))
    calls: list[Json] = [f"c{said.until:08d}"]
    return ScriptedCall("wait", {"calls": calls})


def _block(number: int, said: Said) -> str:
    if not said.name:
        return encode_trap([f"c{said.until}"])
    return encode_call(f"c{number}", said.name, json.dumps(dict(said.given)))
