"""Reading a planning question in AsyncHow's wording: numbered steps with durations, and their order.

```text
1. Boil the water (10 minutes)
2. Chop the leeks (5 minutes)
3. Cook the soup (half an hour)
Step 1 must precede step 3.
Step 3 must follow step 2.
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from agentflow.errors import UserError
from agentflow_protocols.duration import seconds_range
from agentflow_protocols.errors import RemoteProtocolError
from agentflow_protocols.plan import PlanStep, PlanText, parse_graph, tidy

__all__ = ["Question", "Step", "read_question"]

_STEP = re.compile(r"\s*(?:[-*•]\s+)?(?:step\s+)?(\d{1,6})\s*[.:)]\s*(.*\S)\s*", re.IGNORECASE)
_DURATION = re.compile(r"(.*?)\s*[(\[]([^()\[\]]*)[)\]]\s*[.;,]?")
_SECTION = re.compile(r"\s*(graph|durations)\b[^:]{0,60}:\s*", re.IGNORECASE)
_LIST = re.compile(
    r"(?P<step>\bsteps?\s*#?\s*)?(?<![\w.])(?P<ids>\d{1,6}(?:\s*(?:,|,?\s+and|&)\s*(?:steps?\s*)?\d{1,6})*)(?![\w])",
    re.IGNORECASE,
)
_ARROW = re.compile(r"\s*(?:-+>|=+>|→)\s*(?:steps?\s*)?")
_BACK_ARROW = re.compile(r"\s*(?:<-+|<=+|←)\s*(?:steps?\s*)?")
_FIRST = re.compile(r"\bpreced|\bbefore\b|\bprior to\b|\bthen\b|\bleads? to\b", re.IGNORECASE)
_LATER = re.compile(
    r"\bfollow|\bafter\b|\bdepends?\b|\brequires?\b|\bneeds?\s+(?:step|\d|$)|\bwaits?\b|\bonce\b",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(?:not|never|no)\b|n't\b|\bindependent", re.IGNORECASE)
_SEQUENTIAL = re.compile(
    r"\b(?:one after (?:another|the other)|sequentially|in (?:this|the given|the listed|sequential) order)\b",
    re.IGNORECASE,
)


@dataclass(slots=True, frozen=True)
class Step:
    """One step: its number, its text, its duration in words and in seconds (fewest, most)."""

    number: int
    text: str
    duration: str
    seconds: tuple[float, float]


@dataclass(slots=True, frozen=True)
class Question:
    """Steps, and what each waits for.

    `rest` is the longest path from a step's start to the end, in seconds; `total` the
    longest path of all, with the fewest and the most seconds.
    """

    steps: dict[int, Step]
    after: dict[int, set[int]]
    rest: dict[int, float]
    total: tuple[float, float]

    def plan(self) -> PlanText:
        """Return the steps and their order as a plan, each step named by its number."""
        steps = tuple(
            PlanStep(str(step.number), tidy(step.text), step.duration, step.seconds)
            for step in self.steps.values()
        )
        edges = [(str(a), str(number)) for number, earlier in self.after.items() for a in earlier]
        return PlanText(steps, tuple(edges))


def read_question(text: str) -> Question | None:
    """Return the question in `text`; None when it lists no steps.

    Raises `UserError` that names what can't be read: a step without a duration, an
    order of unknown steps, a circle.
    """
    steps: dict[int, Step] = {}
    others: list[str] = []
    told, graph, durations = _sections(text)
    for line in told:
        step = _step(line, durations)
        if step is None:
            others.append(line)
        elif step.number in steps:
            raise UserError(f"step {step.number} is listed twice")
        else:
            steps[step.number] = step
    if not steps:
        return None
    after: dict[int, set[int]] = {number: set() for number in steps}
    for before, later in _order("\n".join(others), list(steps)):
        for number in (before, later):
            if number not in steps:
                raise UserError(
                    f"the order names step {number}, but there are steps {min(steps)} to {max(steps)}"
                )
        after[later].add(before)
    try:
        edges = parse_graph(graph, [str(number) for number in steps]) if graph else []
    except RemoteProtocolError as error:
        raise UserError(f"the graph: {error}") from None
    for first, second in edges:
        after[int(second)].add(int(first))
    return _measure(steps, after)


def _sections(text: str) -> tuple[list[str], str, dict[int, str]]:
    """Return the lines of a question without its graph and its table of durations, and these two.

    Each is a heading and what follows it up to an empty line.
    """
    told: list[str] = []
    graph: list[str] = []
    durations: dict[int, str] = {}
    section = ""
    for line in text.splitlines():
        if heading := _SECTION.fullmatch(line):
            section = heading[1].lower()
        elif not line.strip():
            section = ""
        elif section == "graph":
            graph.append(line)
        elif section:
            step, _, words = line.partition(":")
            if step.strip().isdigit():
                durations[int(step)] = words.strip()
        else:
            told.append(line)
    return told, "\n".join(graph), durations


def _step(line: str, durations: Mapping[int, str]) -> Step | None:
    found = _STEP.fullmatch(line)
    if found is None:
        return None
    timed = _DURATION.fullmatch(found[2])
    if timed is None and (words := durations.get(int(found[1]))):
        return _timed(found[1], found[2], words)
    if timed is None:
        if len([each for each in _LIST.finditer(found[2]) if each["step"]]) > 1 or _ARROW.search(line):
            return None  # one of a numbered list of constraints
        raise UserError(f"step {found[1]} names no duration in brackets")
    return _timed(found[1], timed[1], timed[2])


def _timed(number: str, text: str, words: str) -> Step:
    try:
        return Step(int(number), text.strip(" .:;,-"), words.strip(), seconds_range(words))
    except RemoteProtocolError as error:
        raise UserError(f"step {number}: {error}") from None


def _order(text: str, numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the pairs (earlier, later) that the sentences of `text` state."""
    for sentence in re.split(r"[\n;]|\.(?=\s|$)", text):
        if _SEQUENTIAL.search(sentence) and not _NOT.search(sentence):
            yield from pairwise(numbers)
            continue
        lists = list(_LIST.finditer(sentence))
        for one, two in pairwise(lists):
            between = sentence[one.end() : two.start()]
            if _ARROW.fullmatch(between):
                way = 1
            elif _BACK_ARROW.fullmatch(between):
                way = -1
            elif one["step"]:
                way = _way(sentence[: one.start()], between)
            else:
                way = 0
            firsts, seconds = _ids(one), _ids(two)
            for a in firsts if way else ():
                for b in seconds:
                    yield (a, b) if way > 0 else (b, a)


def _way(lead: str, between: str) -> int:
    """Return 1 when the first named come first, -1 when they come later, 0 when nothing is said."""
    if _NOT.search(between):
        return 0
    if _LATER.search(between):
        return -1
    if _FIRST.search(between):
        return 1
    opening = lead.strip().lower().split(" ")[-1:]
    return {"after": 1, "once": 1, "before": -1}.get(opening[0] if opening else "", 0)


def _ids(found: re.Match[str]) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", found["ids"])]


def _measure(steps: dict[int, Step], after: dict[int, set[int]]) -> Question:
    try:
        order = list(TopologicalSorter(after).static_order())
    except CycleError as error:
        circle = " -> ".join(str(number) for number in reversed(error.args[1]))
        raise UserError(f"the order goes in a circle: {circle}") from None
    ends: list[dict[int, float]] = [{}, {}]
    for number in order:
        for i, end in enumerate(ends):
            end[number] = max((end[a] for a in after[number]), default=0.0) + steps[number].seconds[i]
    rest = {number: steps[number].seconds[1] for number in steps}
    for number in reversed(order):
        for a in after[number]:
            rest[a] = max(rest[a], steps[a].seconds[1] + rest[number])
    return Question(steps, after, rest, (max(ends[0].values()), max(ends[1].values())))
