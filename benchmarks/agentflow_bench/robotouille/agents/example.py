"""A worked episode, as models are shown one: a lettuce cheeseburger, in a kitchen of the extra task 3.1."""

from __future__ import annotations

from functools import cache

from agentflow_bench.robotouille.instance import make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.task import Task
from agentflow_protocols.chat import Message

__all__ = ["example"]

_SEED = 26

_STEPS = (
    ("The patty takes longest, since it must cook. It is on table2, so I go there first.",
     "Move robot1 from stove1 to table2"),
    ("My hands are empty and patty1 lies alone here.", "Pick up patty1 from table2 using robot1"),
    ("stove2 is empty.", "Move robot1 from table2 to stove2"),
    ("The patty has to lie directly on the stove.", "Place patty1 on stove2 using robot1"),
    ("My hands are empty: I can start it.", "Cook patty1 on stove2 using robot1"),
    ("It needs three further steps by itself. Meanwhile I cut lettuce1, which is on board1 already.",
     "Move robot1 from stove2 to board1"),
    ("The first of three cuts.", "Cut lettuce1 on board1 using robot1"),
    ("The second cut.", "Cut lettuce1 on board1 using robot1"),
    ("The third cut.", "Cut lettuce1 on board1 using robot1"),
    ("lettuce1 is cut. It goes on the bottom bun, which is on table1.",
     "Pick up lettuce1 from board1 using robot1"),
    ("The bottom bun is on a table already, so the burger is built there.",
     "Move robot1 from board1 to table1"),
    ("Nothing is on bottombun1.", "Stack lettuce1 on top of bottombun1 using robot1"),
    ("The patty is cooked by now. I fetch it.", "Move robot1 from table1 to stove2"),
    ("patty1 is cooked.", "Pick up patty1 from stove2 using robot1"),
    ("Back to the burger.", "Move robot1 from stove2 to table1"),
    ("lettuce1 is on top of the stack.", "Stack patty1 on top of lettuce1 using robot1"),
    ("The cheese is still missing. It is on stove4.", "Move robot1 from table1 to stove4"),
    ("Cheese is used as it is.", "Pick up cheese1 from stove4 using robot1"),
    ("Back to the burger.", "Move robot1 from stove4 to table1"),
    ("patty1 is on top of the stack.", "Stack cheese1 on top of patty1 using robot1"),
    ("Only the top bun is missing. It is on stove1.", "Move robot1 from table1 to stove1"),
    ("My hands are empty.", "Pick up topbun1 from stove1 using robot1"),
    ("Back to the burger.", "Move robot1 from stove1 to table1"),
    ("The top bun closes the burger: the goal is reached.",
     "Stack topbun1 on top of cheese1 using robot1"),
)  # fmt: skip

_GRAPH = (
    '{"bottombun1": ["lettuce1"], "lettuce1": ["patty1"], "patty1": ["cheese1"], "cheese1": ["topbun1"],'
    ' "topbun1": []} '
)


@cache
def example(kind: str, *, complete: bool = False) -> tuple[Message, ...]:
    """Return the episode as a conversation in the format of a kind of agent.

    `io` and `io-cot`: the first observation and the whole plan. Else one pair a step; the
    observations after the first are left out.
    """
    kitchen = Kitchen(make_instance(Task.builtin("asynchronous", "3.1"), _SEED))
    first = f"An example:\n{kitchen.observe()}"
    if kind == "io":
        plan = "\n".join(action for _, action in _STEPS)
        return Message("user", first), Message("assistant", f"Plan:\n{plan}")
    if kind == "io-cot":
        text = "\n".join(f"State: {reason}\nAction: {action}" for reason, action in _STEPS)
        return Message("user", first), Message("assistant", text)
    said: list[Message] = []
    for number, (reason, action) in enumerate(_STEPS):
        said.append(Message("user", "(the observation is left out)" if number else first))
        words = f"{_GRAPH if kind == 'plag-bag' else ''}{reason}"
        if complete:
            rest = [f"{n}. {act}" for n, (_, act) in enumerate(_STEPS[number:], 1)]
            words = "\n".join([words, *rest])
        said.append(Message("assistant", f"Reasoning: {words}\nAction: {action}"))
    return tuple(said)
