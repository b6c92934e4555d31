"""What is proved without a model: the oracle, the rule-based planner by every method, forms of graphs."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from agentflow.plan.methods import METHODS, method_of
from agentflow.runtime import Runtime
from agentflow_bench.asynchow.questions import Question, draw, read_questions
from agentflow_bench.asynchow.run import Asking, trials_of
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.trials import try_all
from agentflow_bench.trials.asked import AskedModel
from agentflow_bench.trials.summary import Tally, tally
from agentflow_protocols.duration import seconds_range
from agentflow_protocols.plan import (
    FORMS,
    PlanLines,
    PlanStep,
    PlanText,
    PlanTextError,
    encode_lines,
    encode_plan,
    from_json,
    parse_plan,
    tidy,
    to_json,
)

__all__ = ["MUTATED", "ORACLE", "PLANNER", "ROUND_TRIPS", "random_plan"]

_INEXACT = {"async-0829", "async-1113"}  # their answers say another low end of months than their graphs
_TEXTS = (
    "Boil water", "Do (x) it", "a: b", "x -> y", "wait 5 minutes", "1. go", "[URL]", "a, b", "3", 'say "hi"',
    "foo) after 2", "# x", "| y |", "x (5 min)", "- z", "", "A 3:1 mix = 4", "Step 1 must",
)  # fmt: skip
_BITS = (
    "->", "→", "<-", "[", "]", "(", ")", "{", ":", ",", "\n", "START", "END", "0 1 ", "1", "row_ptr:",
    "columns:", "order:", "```", "|", '"', " after ", "\t", "(10 minutes)", "é", "\x00", "\r", "-",
)  # fmt: skip
_UNITS = ("second", "minute", "hour", "day", "week", "month", "year")


async def _oracle(setting: Setting) -> Sequence[Figure]:
    questions = read_questions(setting.data)
    if setting.quick:
        questions = draw(questions, 100)
    told = await _asked("oracle", "io", questions)
    inexact = sum(question.id in _INEXACT for question in questions)
    some = draw(questions, 200)
    computed = [
        Figure(f"right, {method}", (await _asked("oracle", method, some)).right, bar=Bar("==", len(some)))
        for method in ("plag_checked", "plag_run")
    ]
    return [
        *computed,
        Figure("questions", told.n),
        Figure("right by overlap", told.right, bar=Bar("==", len(questions))),
        Figure("exactly equal", told.truths["exact"], bar=Bar("==", len(questions) - inexact)),
    ]


async def _planner(setting: Setting) -> Sequence[Figure]:
    questions = draw(read_questions(setting.data), 60 if setting.quick else 400)
    figures: list[Figure] = []
    for method in METHODS:
        for form in FORMS if method in ("plag_explicit", "plag_bag") else FORMS[:1]:
            told = await _asked("builtin:planner", method, questions, form)
            name = f"{method}, {form}" if method in ("plag_explicit", "plag_bag") else method
            figures.append(Figure(name, told.right, bar=Bar("==", len(questions))))
    return figures


async def _asked(model: str, method: str, questions: Sequence[Question], form: str = FORMS[0]) -> Tally:
    asking = Asking(AskedModel(model), method_of(method), next(one for one in FORMS if one == form))
    async with Runtime() as runtime:
        return tally(await try_all(trials_of(asking, questions), runtime))


def random_plan(chance: random.Random, most: int = 12) -> PlanText:
    """Return a plan of random names, texts, durations and order."""
    count = chance.randint(1, most)
    names = [str(number + 1) for number in range(count)]
    if chance.random() < 0.5:
        names = [f"{chance.choice(('boil', 'note', 'total', 'x', '_u', 'a-b'))}{n}" for n in names]
    steps = []
    for name in names:
        words = f"{chance.randint(0, 90)} {chance.choice(_UNITS)}s"
        steps.append(PlanStep(name, tidy(chance.choice(_TEXTS)), words, seconds_range(words)))
    order = chance.sample(names, count)
    share = chance.random()
    edges = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :] if chance.random() < share]
    return PlanText(tuple(steps), tuple(edges))


def _round_trips(setting: Setting) -> Sequence[Figure]:
    count = 500 if setting.quick else 10_000
    chance = random.Random(1)
    same = dict.fromkeys((*FORMS, "lines", "json"), 0)
    began = time.perf_counter()
    for _ in range(count):
        plan = random_plan(chance)
        for form in FORMS:
            same[form] += parse_plan(encode_plan(plan, form)) == plan
        lines = PlanLines()
        lines.feed(encode_lines(plan))
        lines.end()
        same["lines"] += lines.plan() == plan
        same["json"] += from_json(to_json(plan)) == plan
    took = (time.perf_counter() - began) / count / len(same)
    figures = [
        Figure(f"read as written, {form}", value, bar=Bar("==", count)) for form, value in same.items()
    ]
    return [*figures, Figure("time a plan and form", took * 1e3, "ms")]


def _mutated(setting: Setting) -> Sequence[Figure]:
    count = 1_000 if setting.quick else 20_000
    chance = random.Random(2)
    refused = others = 0
    slowest = 0.0
    for _ in range(count):
        plan = random_plan(chance, 6)
        text = encode_plan(plan, chance.choice(FORMS)) if chance.random() < 0.7 else encode_lines(plan)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(_BITS) + text[at + chance.randint(0, 5) :]
        began = time.perf_counter()
        try:
            parse_plan(text, chance.choice((None, *FORMS)))
            PlanLines().feed(text)
        except PlanTextError:
            refused += 1
        except Exception:
            others += 1
        slowest = max(slowest, time.perf_counter() - began)
    return [
        Figure("texts", count),
        Figure("refused", refused),
        Figure("errors but ours", others, bar=Bar("==", 0)),
        Figure("slowest", slowest * 1e3, "ms", Bar("<=", 250)),
    ]


ORACLE = Measure("oracle", "All questions, answered from the gold graphs: prompts, reading, rules.", _oracle)
PLANNER = Measure(
    "planner", "The rule-based planner (no LLM) answers every form of prompt, from its text.", _planner
)
ROUND_TRIPS = Measure("round-trips", "Random plans, written in every form and read again.", _round_trips)
MUTATED = Measure(
    "mutated", "Plans with random changes in their texts: read, or refused with our error.", _mutated
)
