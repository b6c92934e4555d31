"""Populations: trained side by side, with nobody waiting, whatever fails or is killed."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from virtual import virtual

from agentflow import Agent, Context, Limits, Runtime
from agentflow.errors import EndpointUnavailable, RunError, UserError
from agentflow.testing import FakeEndpoint, VirtualClock
from agentflow.tournament import Match
from agentflow.tournament.population import Member, Population, PopulationReport
from agentflow_protocols.trace import Custom


@dataclass(frozen=True)
class Toy:
    """The toy problem of the paper (section 4 of it): theta climbs a surrogate that h weighs."""

    theta: tuple[float, float]
    h: tuple[float, float]


async def climb(context: Context[object], toy: Toy) -> Toy:
    """Make a step up the surrogate 1.2 - h0 theta0² - h1 theta1²."""
    await asyncio.sleep(1)
    (a, b), (p, q) = toy.theta, toy.h
    return replace(toy, theta=(a - 0.02 * p * a, b - 0.02 * q * b))


async def height(context: Context[object], toy: Toy) -> float:
    """Return what is truly wanted: 1.2 - theta0² - theta1²."""
    return 1.2 - sum(each**2 for each in toy.theta)


def jolt(chance: random.Random, toy: Toy) -> Toy:
    """Change h a little."""
    return replace(toy, h=(toy.h[0] + chance.gauss(0, 0.1), toy.h[1] + chance.gauss(0, 0.1)))


def toys(count: int, seed: int) -> list[Toy]:
    chance = random.Random(seed)
    return [Toy((0.9, 0.9), (chance.random(), chance.random())) for _ in range(count)]


def toy_population(members: Sequence[Toy], **options: object) -> Population[Toy]:
    given = {"step": climb, "score": height, "explore": jolt, "ready": 5, "steps": 60, **options}
    return Population(members, **given)  # type: ignore[arg-type]


async def train(
    population: Population[Toy], *, limits: Limits | None = None, journal: Path | None = None
) -> PopulationReport[Toy]:
    async with Runtime(journal) as runtime:
        return (await runtime.run(population, key="p" if journal else None, limits=limits)).output


@virtual
async def test_the_two_of_the_paper_solve_together_what_neither_can_alone() -> None:
    members = [Toy((0.9, 0.9), (1.0, 0.0)), Toy((0.9, 0.8), (0.0, 1.0))]

    def theta(own: Toy, other: Toy) -> Toy:
        return replace(own, theta=other.theta)

    options: dict[str, object] = {"explore": None, "inherit": theta, "share": 0.5, "steps": 300}
    together = await train(toy_population(members, **options))
    alone = await train(toy_population(members, **options, exploit=lambda chance, member, others: None))
    assert alone.best.score is not None
    assert together.best.score is not None
    assert alone.best.score < 0.42, "the other coordinate stays at 0.9"
    assert together.best.score > 1.15
    assert together.copies
    assert not alone.copies


@virtual
async def test_it_beats_random_search_at_equal_steps() -> None:
    ours, searched = 0.0, 0.0
    for seed in range(5):
        report = await train(toy_population(toys(10, seed), seed=seed))
        search = await train(
            toy_population(toys(10, seed), seed=seed, exploit=lambda chance, member, others: None)
        )
        assert report.steps == search.steps == 600
        ours += report.best.score or 0
        searched += search.best.score or 0
    assert ours > searched + 0.1


@virtual
async def test_a_member_that_is_slow_holds_nobody_up() -> None:
    loop = asyncio.get_running_loop()
    ends: list[float] = []

    async def step(context: Context[object], toy: Toy) -> Toy:
        slow = toy.h == (0.0, 0.0)
        await asyncio.sleep(100 if slow else 1)
        if not slow:
            ends.append(loop.time())
        return replace(toy, theta=(toy.theta[0] * 0.99, toy.theta[1] * 0.99))

    members = [Toy((0.9, 0.9), (0.0, 0.0)), *toys(4, 1)]
    population = toy_population(members, step=step, explore=None, exploit=lambda *_: None, steps=20)
    report = await train(population)
    assert max(ends) == 20
    assert loop.time() == 2000
    assert report.steps == 100


@virtual
async def test_lineage_says_who_was_copied_when() -> None:
    report = await train(toy_population(toys(10, 3)))
    copied = {each.member for each in report.copies}
    for each in report.members:
        line = report.lineage(each.number)
        assert line[-1] == (each.number, 60)
        assert (len(line) > 1) == (each.number in copied) == bool(each.copies)
    for each_copy in report.copies:
        assert each_copy.score is not None
        assert each_copy.source_score is not None
        assert each_copy.source_score > each_copy.score
    scores = [score for _, score in report.curve()]
    assert len(scores) == 60
    assert scores[-1] == report.best.score
    assert report.curve(0)[0][0] == 1
    text = report.as_text()
    assert text.startswith("10 members, 600 steps, ")
    assert "ended by steps" in text
    assert f"member {report.best.number}: score" in text.splitlines()[1]


@virtual
async def test_one_may_be_told_of_it_as_it_goes() -> None:
    seen: list[str] = []
    async with Runtime() as runtime, runtime.start(toy_population(toys(4, 1), steps=15)) as run:
        async for event in run:
            if isinstance(event, Custom) and event.name == "population":
                assert isinstance(event.data, dict)
                seen.append(next(iter(event.data)))
        report = (await run.result()).output
    assert seen.count("step") == 60 == seen.count("score")
    assert seen.count("ready") == 8
    assert report.steps == 60


@virtual
async def test_it_ends_by_steps_of_all_by_a_score_or_by_a_limit() -> None:
    by_total = await train(toy_population(toys(4, 1), total_steps=30))
    assert (by_total.stop_reason, by_total.steps) == ("total_steps", 30)
    by_score = await train(toy_population(toys(4, 1), target=0.5))
    assert by_score.stop_reason == "target"
    assert by_score.best.score is not None
    assert by_score.best.score >= 0.5
    nothing = await train(toy_population(toys(4, 1)), limits=Limits(turns=0))
    assert (nothing.stop_reason, nothing.steps, nothing.best.score) == ("budget", 0, None)


@virtual
async def test_tokens_are_counted_and_a_limit_of_them_ends_it_with_a_report() -> None:
    agent = Agent(FakeEndpoint(lambda request: "0.1"), name="trainer")

    async def step(context: Context[object], value: float) -> float:
        return value + float((await context.run(agent, str(value), key="ask")).output)

    async def score(context: Context[object], value: float) -> float:
        return value

    population = Population([0.0, 0.0, 0.0], step=step, score=score, concurrency=1)
    async with Runtime() as runtime:
        report = (await runtime.run(population, limits=Limits(turns=7))).output
    assert (report.stop_reason, report.steps) == ("budget", 7)
    assert report.best.score == pytest.approx(0.3)


@virtual
async def test_scores_every_few_steps_and_at_the_end() -> None:
    report = await train(toy_population(toys(3, 1), score_every=4, ready=6, steps=10))
    assert sorted({each.steps for each in report.scores}) == [4, 6, 8, 10]
    by_total = await train(toy_population(toys(3, 1), score_every=4, ready=50, total_steps=15))
    assert [each.scored_at for each in by_total.members] == [5, 5, 5]


@virtual
async def test_ready_and_exploit_may_be_functions() -> None:
    asked: list[int] = []

    def worst(chance: random.Random, member: Member[Toy], others: Sequence[Member[Toy]]) -> int | None:
        asked.append(member.steps)
        return min(others, key=lambda each: each.score or 0).number

    def at_seven(member: Member[Toy]) -> bool:
        return member.steps == 7

    report = await train(toy_population(toys(3, 1), ready=at_seven, exploit=worst, steps=10))
    assert asked == [7, 7, 7]
    assert len(report.copies) == 3


@virtual
async def test_a_score_that_is_no_number_is_the_worst_and_is_replaced() -> None:
    async def score(context: Context[object], toy: Toy) -> float:
        return math.nan if toy.h[0] > 5 else await height(context, toy)

    members = [Toy((0.9, 0.9), (9.0, 0.0)), *toys(4, 1)]
    report = await train(toy_population(members, score=score, explore=None))
    assert report.copies[0].member == 0
    assert all(each.score is not None for each in report.members)
    assert report.scores[0].score is None

    async def none(context: Context[object], toy: Toy) -> float:
        return math.inf

    lost = await train(toy_population(members, score=none))
    assert (lost.copies, lost.best.score) == ([], None)


@virtual
async def test_what_a_step_raises_ends_it_or_lets_the_member_copy_another() -> None:
    async def step(context: Context[object], toy: Toy) -> Toy:
        if toy.h == (9.0, 9.0):
            raise ValueError("it burnt")
        return await climb(context, toy)

    members = [*toys(4, 1), Toy((0.9, 0.9), (9.0, 9.0))]
    with pytest.raises(ValueError, match="it burnt"):
        await train(toy_population(members, step=step))
    report = await train(toy_population(members, step=step, on_error="replace", concurrency=1))
    burnt = next(each for each in report.members if each.number == 4)
    assert (burnt.failed, burnt.copies[0].steps, burnt.copies[0].score) == (1, 1, None)
    assert burnt.score is not None
    with pytest.raises(RunError, match="member 0: ValueError: it burnt; none to copy yet"):
        await train(toy_population(members[4:], step=step, on_error="replace"))


@virtual
async def test_an_endpoint_that_fails_is_asked_three_times() -> None:
    asked = 0

    async def step(context: Context[object], toy: Toy) -> Toy:
        nonlocal asked
        asked += 1
        if asked in (3, 4) or asked > 20:
            raise EndpointUnavailable("down")
        return await climb(context, toy)

    report = await train(toy_population(toys(2, 1), step=step, total_steps=10, concurrency=1))
    assert (report.steps, asked) == (10, 12)
    with pytest.raises(EndpointUnavailable, match="down"):
        await train(toy_population(toys(2, 1), step=step, total_steps=30, concurrency=1))
    assert asked == 23


@virtual
async def test_what_a_step_does_to_its_argument_reaches_no_copy() -> None:
    async def step(context: Context[object], value: dict[str, int]) -> dict[str, int]:
        value["x"] += value["pace"]
        return value

    async def score(context: Context[object], value: dict[str, int]) -> float:
        value["pace"] += 100
        return value["x"]

    members = [{"x": 0, "pace": pace} for pace in (1, 2, 5)]
    population = Population(members, step=step, score=score, ready=5, steps=10, share=0.4)
    async with Runtime() as runtime:
        report = (await runtime.run(population)).output
    assert members == [{"x": 0, "pace": pace} for pace in (1, 2, 5)]
    assert {each.value["pace"] for each in report.members} <= {1, 2, 5}
    assert report.best.score == 50


def heavier(sharp: float, asked: list[tuple[Toy, Toy]] | None = None) -> object:
    """Return a judge who sees which is higher, as far as `sharp` allows."""
    chance = random.Random(7)

    async def judge(context: Context[object], match: Match[Toy]) -> str:
        await asyncio.sleep(0.1)
        if asked is not None:
            asked.append((match.first, match.second))
        gap = await height(context, match.first) - await height(context, match.second)
        return "first" if chance.random() < 1 / (1 + math.exp(-sharp * gap)) else "second"

    return judge


@virtual
async def test_a_judge_who_can_only_compare_leads_it_too() -> None:
    ours, searched = 0.0, 0.0
    for seed in range(3):
        judge = heavier(40.0)
        options: dict[str, object] = {"score": None, "judge": judge, "goal": "high", "seed": seed}
        report = await train(toy_population(toys(8, seed), **options))
        search = await train(toy_population(toys(8, seed), **options, exploit=lambda *_: None))
        ours += max([await height(None, each.value) for each in report.members])  # type: ignore[arg-type]
        searched += max([await height(None, each.value) for each in search.members])  # type: ignore[arg-type]
        assert report.matches == 8 * 11 * 3
        assert report.best.quality is not None
        assert report.order_bias is not None
        assert "quality" in report.as_text()
    assert ours > searched


@virtual
async def test_a_judge_that_only_talks_changes_nothing() -> None:
    async def judge(context: Context[object], match: Match[Toy]) -> str:
        return "Both are lovely."

    report = await train(toy_population(toys(3, 1), score=None, judge=judge, steps=10, matches=2))
    assert (report.matches, report.void) == (0, 6)


@virtual
async def test_truncation_goes_by_matches_where_there_is_a_judge() -> None:
    options: dict[str, object] = {"score": None, "judge": heavier(1000.0), "exploit": "truncation"}
    report = await train(toy_population(toys(10, 3), **options))
    assert report.copies
    assert all(each.score is None for each in report.copies)


@virtual
async def test_one_member_alone_is_trained_and_none_is_told() -> None:
    report = await train(toy_population(toys(1, 1)))
    assert (report.steps, report.copies) == (60, [])
    with pytest.raises(UserError, match="there are no members"):
        await train(toy_population([]))


@virtual
async def test_what_a_function_returns_is_looked_at() -> None:
    async def nothing(context: Context[object], toy: Toy) -> Toy:
        return None  # type: ignore[return-value]

    with pytest.raises(UserError, match="step returned None"):
        await train(toy_population(toys(2, 1), step=nothing))

    async def word(context: Context[object], toy: Toy) -> float:
        return "high"  # type: ignore[return-value]

    with pytest.raises(UserError, match="a score is a number, not 'high'"):
        await train(toy_population(toys(2, 1), score=word))
    with pytest.raises(UserError, match="exploit returned 9"):
        await train(toy_population(toys(2, 1), exploit=lambda *_: 9))


def test_what_is_no_population_is_told() -> None:
    for given, told in (
        ({"score": None}, "score= or by judge="),
        ({"judge": heavier(1)}, "score= or by judge="),
        ({"step": 3}, "step is a function, not '3'"),
        ({"exploit": "posterior"}, "goes by matches"),
        ({"exploit": "copy"}, "exploit is truncation, posterior or a function"),
        ({"ready": 0}, "ready must be 1 or more"),
        ({"concurrency": 0}, "concurrency must be 1 or more"),
        ({"share": 0.8}, "share lies above 0"),
        ({"steps": None}, "it has no end"),
        ({"on_error": "skip"}, "on_error is fail or replace"),
        ({"score": None, "judge": heavier(1), "target": 1.0}, "target is a score"),
        ({"score": None, "judge": "who"}, "judge is an async function or an agent"),
    ):
        with pytest.raises(UserError, match=told):
            toy_population(toys(2, 1), **given)


class Stopped(Exception):
    """What stops a population in the middle."""


async def until(journal: Path, last: int, judged: bool) -> tuple[object, int]:
    """Train until the `last`th call; return all that came of it, and how many calls there were."""
    calls = 0

    def here() -> None:
        nonlocal calls
        calls += 1
        if calls == last:
            raise Stopped

    async def step(context: Context[object], toy: Toy) -> Toy:
        here()
        return await climb(context, toy)

    async def score(context: Context[object], toy: Toy) -> float:
        here()
        return await height(context, toy)

    async def judge(context: Context[object], match: Match[Toy]) -> str:
        here()
        first, second = await height(context, match.first), await height(context, match.second)
        return "first" if first > second else "second"

    by: dict[str, object] = {"score": None, "judge": judge} if judged else {"score": score}
    population = toy_population(toys(4, 1), step=step, ready=3, steps=8, concurrency=1, **by)
    report = await train(population, journal=journal)
    members = [[each.number, each.value, each.steps, each.score] for each in report.members]
    return [members, report.copies, report.scores, report.matches], calls


@pytest.mark.parametrize("judged", [False, True])
def test_stopped_at_any_call_it_goes_on_from_there(tmp_path: Path, judged: bool) -> None:
    def sit(name: str, last: int) -> tuple[object, int]:
        with VirtualClock() as clock:
            return clock.run(until(tmp_path / name, last, judged))

    whole, calls = sit("whole", 0)
    for last in range(2, calls, 9):
        with pytest.raises(Stopped):
            sit(f"{last}", last)
        again, left = sit(f"{last}", 0)
        assert again == whole
        assert left == calls - last + 1, "nothing is asked twice but what was cut short"


WORKER = """
import asyncio, json, os, sys
sys.path.insert(0, sys.argv[1])
from agentflow import Runtime
from test_population import Toy, height, jolt, toys
from agentflow.tournament.population import Population
journal, die, at_once = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
count = 0

def here():
    global count
    count += 1
    if count == die:
        os.kill(os.getpid(), 9)

async def step(context, toy: Toy) -> Toy:
    here()
    with open(journal + ".txt", "a") as file:
        file.write(context.run_id.partition("/")[2] + "\\n")
    (a, b), (p, q) = toy.theta, toy.h
    if at_once > 1:
        await asyncio.sleep(0.001)
    return Toy((a - 0.02 * p * a, b - 0.02 * q * b), toy.h)

async def score(context, toy):
    here()
    return await height(context, toy)

async def main():
    async with Runtime(journal) as runtime:
        population = Population(
            toys(6, 1), step=step, score=score, explore=jolt, ready=4, steps=12, concurrency=at_once
        )
        report = (await runtime.run(population, key="p")).output
        print(json.dumps([
            [[m.number, m.value.theta, m.value.h, m.score, m.steps] for m in report.members],
            [[c.member, c.steps, c.source, c.source_steps] for c in report.copies],
            len(report.scores),
        ]))

asyncio.run(main())
"""


def sit(folder: Path, name: str, die: int, at_once: int) -> str:
    """Train in a process that kills itself at its `die`th call; return what it printed."""
    script = folder / "worker.py"
    script.write_text(WORKER)
    arguments = [str(Path(__file__).parent), str(folder / f"{name}.db"), str(die), str(at_once)]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode in (0, -9), done.stderr
    return done.stdout


def test_killed_anywhere_and_gone_on_with_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole = sit(tmp_path, "whole", 0, 1)
    for die in (20, 61):
        assert sit(tmp_path, "killed", die, 1) == ""
    assert json.loads(sit(tmp_path, "killed", 0, 1)) == json.loads(whole)
    assert json.loads(sit(tmp_path, "killed", 1, 1)) == json.loads(whole), "an ended one is only read"
    asked = (tmp_path / "killed.db.txt").read_text().splitlines()
    assert len(set(asked)) == 72
    assert len(asked) <= 72 + 2


def test_killed_with_many_steps_under_way_each_counts_once(tmp_path: Path) -> None:
    assert sit(tmp_path, "killed", 40, 6) == ""
    members, _, scores = json.loads(sit(tmp_path, "killed", 0, 6))
    assert [each[4] for each in members] == [12] * 6
    assert scores == 72
