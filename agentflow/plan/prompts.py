"""What a model is told: a question on a plan's shortest time, or a task to be planned, by each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from agentflow.plan.methods import Method
from agentflow_protocols.chat import Message
from agentflow_protocols.duration import format_seconds
from agentflow_protocols.plan import (
    TITLES,
    Form,
    PlanText,
    encode_graph,
    encode_lines,
    encode_plan,
    encode_steps,
    parse_plan,
    total,
)

__all__ = ["fault_text", "plan_messages", "question_messages", "question_text", "time_words"]

_ASKED = (
    "What is the shortest possible time, when every step must be done and any number of them can be done"
    " at once?"
)
_LINES = (
    "a line a step, `NUMBER. TEXT (DURATION) <- NUMBER, NUMBER`, where the arrow names the steps that must"
    " be done before it begins (no arrow where there is none). Each line stands below those that it names."
)
_JSON = (
    "as JSON: for each step its name (a number, from 1), its text, its duration in words, and `after`, the"
    " names of the steps that must be done before it begins."
)
_FORMS: Mapping[Form, str] = {
    "adjacency_list": (
        "an adjacency list: a line a node, `NODE: NODE, NODE`, with what comes directly after it. START is"
        " the first node, and what nothing waits for leads to END"
    ),
    "adjacency_matrix": (
        "an adjacency matrix: the line `order: 1 2 … END START`, then for each node in that order a row of 0"
        " and 1, which is 1 where the column's node comes directly after it"
    ),
    "csr": (
        "compressed sparse rows: the line `order: 1 2 … END START`, the line `row_ptr: …` with where each"
        " node's part of the columns begins and where all end, and the line `columns: …` with the places,"
        " counted from 0, of the nodes that come directly after each"
    ),
    "edge_list": "an edge list: a line an edge, `(NODE, NODE)`, from START to END",
}
_PLANNER = (
    "You plan tasks: what must be done, how long each step takes, and which steps must be done before which."
    " Steps that do not need one another are done at the same time, so name only the order that is needed."
)
_WORKED = (
    ("make pancakes", ["Whisk the batter (5 minutes)", "Heat a pan (3 minutes)", "Fry (20 min) <- 1, 2"]),
    (
        "send a parcel",
        [
            "Find a box (10 minutes)",
            "Print the label (5 minutes)",
            "Pack it (15 minutes) <- 1",
            "Stick the label on (1 minute) <- 2, 3",
            "Bring it to the post office (half an hour) <- 4",
        ],
    ),
    (
        "paint a room",
        [
            "Buy paint (1 hour)",
            "Move the furniture out (2 hours)",
            "Cover the floor (30 minutes) <- 2",
            "Paint the walls (4 hours) <- 1, 3",
            "Let it dry (1 day) <- 4",
        ],
    ),
    ("leave for work", ["Pack the bag (4 minutes)", "Feed the cat (2 minutes)", "Water plants (9 minutes)"]),
    (
        "hold a birthday party",
        [
            "Invite the guests (2 days)",
            "Order a cake (1 week)",
            "Write a list of songs (3 hours)",
            "Decorate the flat (5 hours) <- 1",
            "Fetch the cake (40 minutes) <- 2",
            "Greet the guests (15 minutes) <- 3, 4, 5",
        ],
    ),
    (
        "move a web site",
        [
            "Rent a server (2 hours)",
            "Copy the files (90 minutes) <- 1",
            "Copy the database (3 hours) <- 1",
            "Test the copy (1 day) <- 2, 3",
            "Tell the readers (20 minutes)",
            "Change the address (10 minutes) <- 4, 5",
        ],
    ),
)  # fmt: skip


def time_words(seconds: tuple[float, float]) -> str:
    """Return a range of seconds in words: `40 minutes`, `56 to 62 days`."""
    low, high = seconds
    if low == high:
        return format_seconds(high)
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if low % size == 0 and high % size == 0:
            return f"{low / size:.0f} to {high / size:.0f} {unit}"
    return f"{low:g} to {high:g} seconds"


def question_text(title: str, plan: PlanText, graph: Form | None = None) -> str:
    """Return the question for a plan's shortest time, with its graph in a form where one is told."""
    lines = [f"Task: {title}.", encode_steps(plan)]
    lines += [f"Step {a} must precede step {b}." for a, b in plan.edges]
    if not plan.edges:
        lines.append("All steps can run in parallel.")
    if graph is not None:
        lines += ["", f"Graph ({TITLES[graph]}):", encode_graph(plan, graph)]
        lines += ["", "Durations:", *(f"{step.name}: {step.duration}" for step in plan.steps), ""]
    lines.append(_ASKED)
    return "\n".join(lines)


def question_messages(title: str, plan: PlanText, method: Method, form: Form) -> list[Message]:
    """Return what a model is asked of a plan by a method."""
    messages: list[Message] = []
    for worked_title, worked in _worked()[: method.shots]:
        messages.append(Message("user", _question(worked_title, worked, method, form)))
        messages.append(Message("assistant", _answer(worked, method)))
    return [*messages, Message("user", _question(title, plan, method, form))]


def _question(title: str, plan: PlanText, method: Method, form: Form) -> str:
    text = question_text(title, plan, form if method.name == "plag_explicit" else None)
    return f"{text}\n{_how_to_answer(method, form)}"


def _how_to_answer(method: Method, form: Form) -> str:
    if method.name == "plag_explicit":
        return (
            "Follow the graph from START to END and think step by step. End with that time in double quotes."
        )
    if method.name == "plag_bag":
        return (
            f"First build the graph of the steps and write it as {_FORMS[form]}; below it write the durations"
            " as a table, `NODE: DURATION`. Then find its longest path, and end with that time in double"
            " quotes."
        )
    if method.name == "plag_checked":
        return f"Write the plan {_JSON}"
    if method.name == "plag_run":
        return f"Write the plan as {_LINES} Write nothing else."
    if method.reasons:
        return "Think step by step. End with that time in double quotes."
    return "Answer with that time alone, in double quotes."


def plan_messages(task: str, known: PlanText | None, method: Method, form: Form) -> list[Message]:
    """Return what a model is told to plan a task by a method; `known` is the plan that the task states."""
    messages = [Message("system", _PLANNER)]
    for title, worked in _worked()[: method.shots]:
        messages.append(Message("user", f"Task: {title}.\n{_how_to_plan(method, form)}"))
        text = f"```\n{encode_plan(worked, form)}\n```"
        messages.append(Message("assistant", f"{_reasoning(worked)}\n{text}" if method.reasons else text))
    text = task.strip()
    if not text.lower().startswith("task:"):
        text = f"Task:\n{text}" if "\n" in text or text[:1].isdigit() else f"Task: {text}"
    if method.name == "plag_explicit" and known is not None:
        text += f"\n\nGraph ({TITLES[form]}):\n{encode_graph(known, form)}\n"
    return [*messages, Message("user", f"{text}\n{_how_to_plan(method, form)}")]


def _how_to_plan(method: Method, form: Form) -> str:
    if method.name == "plag_checked":
        return f"Write the plan {_JSON}"
    if method.name == "plag_run":
        return f"Write the plan as {_LINES} Write nothing else."
    what = (
        "the plan between two lines of three backquotes: first `Steps:` and a line a step, `NUMBER. TEXT"
        f" (DURATION)`, then `Graph:` and the graph as {_FORMS[form]}."
    )
    if method.name == "plag_bag":
        end = "Then find its longest path, and end with the shortest time in double quotes."
        return f"First build the graph. Write {what} {end}"
    if method.reasons:
        return f"Think step by step about what each step needs. Then write {what}"
    return f"Write {what} Write nothing else."


def fault_text(faults: Sequence[object]) -> str:
    """Return what a model is told of a plan with faults."""
    told = "\n".join(f"- {fault}" for fault in faults[:20])
    return f"This is not a plan that can be run:\n{told}\nWrite the whole plan again, with these mended."


@cache
def _worked() -> list[tuple[str, PlanText]]:
    """Return the worked examples."""
    return [
        (title, parse_plan("\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))))
        for title, lines in _WORKED
    ]


def _answer(plan: PlanText, method: Method) -> str:
    answer = f'"{time_words(total(plan))}"'
    if method.name == "plag_run":
        return encode_lines(plan)
    return f"{_reasoning(plan)}\nThe shortest possible time is {answer}." if method.reasons else answer


def _reasoning(plan: PlanText) -> str:
    """Return the way to a plan's shortest time, step by step."""
    after = plan.after()
    ends: dict[str, tuple[float, float]] = {}
    lines: list[str] = []
    for step in plan.steps:
        starts = (
            max((ends[one][0] for one in after[step.name]), default=0.0),
            max((ends[one][1] for one in after[step.name]), default=0.0),
        )
        ends[step.name] = (starts[0] + step.seconds[0], starts[1] + step.seconds[1])
        told = f"after {' and '.join(after[step.name])}" if after[step.name] else "at once"
        lines.append(f"Step {step.name} begins {told} and ends at {time_words(ends[step.name])}.")
    return "\n".join(lines)
