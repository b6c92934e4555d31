"""Tournaments: who is best, with judges that are slow, silent, biased, wordy or gone."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from virtual import virtual

from agentflow import Agent, Context, Limits, Runtime
from agentflow.errors import EndpointUnavailable, UserError
from agentflow.testing import FakeEndpoint
from agentflow.tournament import (
    Board,
    FixedWeights,
    LiveTournament,
    Match,
    Tournament,
    TournamentReport,
    verdict_of,
)
from agentflow_protocols.trace import Custom

Judge = Callable[[Context[object], Match[int]], Awaitable[str]]


def honest(seconds: float = 1.0) -> Judge:
    """Return a judge to whom the greater number is better, always."""

    async def judge(context: Context[object], match: Match[int]) -> str:
        await asyncio.sleep(seconds)
        return "first" if match.first > match.second else "second"

    return judge


async def play(
    tournament: Tournament[int], *, limits: Limits | None = None, journal: Path | None = None
) -> TournamentReport[int]:
    async with Runtime(journal) as runtime:
        return (await runtime.run(tournament, key="t" if journal else None, limits=limits)).output


@virtual
async def test_the_best_are_found_and_it_says_how_sure_that_is() -> None:
    report = await play(Tournament("the greatest", judge=honest(), items=range(12), k=3))
    assert report.stop_reason == "settled"
    assert {each.item for each in report.ranking[:3]} >= {11, 10}
    assert report.settled >= 0.8
    best = report.best
    assert best.low < best.quality < best.high
    assert report.judged == len(report.matches)


@virtual
async def test_nobody_waits_for_a_slow_match() -> None:
    loop = asyncio.get_running_loop()
    slow = True

    async def judge(context: Context[object], match: Match[int]) -> str:
        nonlocal slow
        seconds, slow = (1000.0 if slow else 1.0), False
        await asyncio.sleep(seconds)
        return "first" if match.first > match.second else "second"

    report = await play(Tournament("g", judge=judge, items=range(12), concurrency=4, match_timeout=None))
    assert report.stop_reason == "settled"
    assert loop.time() < 100


@virtual
async def test_who_never_answers_is_timed_out_and_the_pair_played_anew() -> None:
    seen: list[Match[int]] = []

    async def judge(context: Context[object], match: Match[int]) -> str:
        seen.append(match)
        if match.number == 3:
            await asyncio.sleep(1e9)
        await asyncio.sleep(1)
        return "first" if match.first > match.second else "second"

    report = await play(Tournament("g", judge=judge, items=range(8), match_timeout=10, stop_overlap=None))
    assert report.timed_out == 1
    gone = next(match for match in seen if match.number == 3)
    assert any((m.first, m.second) == (gone.first, gone.second) and m.number > 3 for m in seen)
    assert max(Counter(played.number for played in report.matches).values()) == 1


@virtual
async def test_an_endpoint_that_fails_for_good_fails_the_run() -> None:
    async def judge(context: Context[object], match: Match[int]) -> str:
        raise EndpointUnavailable("down")

    with pytest.raises(EndpointUnavailable, match="down"):
        await play(Tournament("g", judge=judge, items=range(4)))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("first", "first"),
        ("Both are fine, but the second is longer.\nWinner: **Second**.", "second"),
        ('{"winner": "tie"}', "tie"),
        ("I can't say.", None),
        ("first and second", None),
        ("neither", None),
        ("The first is bad, so the second it is, I think", None),
        ('{"winner": ["first"]}', None),
        ("{", None),
        ("", None),
    ],
)
def test_what_is_a_verdict(answer: str, verdict: str | None) -> None:
    assert verdict_of(answer) == verdict


@virtual
async def test_a_judge_that_only_talks_is_asked_three_times_and_the_match_is_void() -> None:
    asked: Counter[int] = Counter()

    async def judge(context: Context[object], match: Match[int]) -> str:
        asked[match.number] += 1
        await asyncio.sleep(1)
        return "Both have their merits."

    report = await play(Tournament("g", judge=judge, items=range(4), max_matches=6))
    assert (report.judged, report.void, report.stop_reason) == (0, 6, "max_matches")
    assert set(asked.values()) == {3}
    assert {each.quality for each in report.ranking} == {0.0}


@virtual
async def test_an_agent_judges_in_words_and_a_budget_of_nothing_asks_nobody() -> None:
    model = FakeEndpoint(
        lambda request: (
            "It is longer.\nfirst" if "looong" in request.messages[-1].text.split("Second:")[0] else "second"
        )
    )
    agent = Agent(model, name="judge", instructions="You judge.")
    tournament = Tournament(
        "length", judge=agent, items=["a", "looong"], k=1, max_matches=8, stop_overlap=None
    )
    async with Runtime() as runtime:
        report = (await runtime.run(tournament)).output
        assert report.best.item == "looong"
        assert report.judged == 8
        nothing = (await runtime.run(tournament, limits=Limits(turns=0))).output
    assert (nothing.stop_reason, nothing.judged) == ("budget", 0)


@virtual
async def test_a_judge_who_likes_what_comes_first_is_found_out() -> None:
    chance = random.Random(1)

    async def judge(context: Context[object], match: Match[int]) -> str:
        await asyncio.sleep(1)
        return "first" if match.first - match.second + 4 * chance.random() > 0 else "second"

    report = await play(Tournament("g", judge=judge, items=range(12), stop_overlap=None))
    bias, deviation = report.order_bias
    assert bias > 2 * deviation
    assert report.best.item >= 10


@virtual
async def test_equal_items_are_ties_and_nobody_wins() -> None:
    async def judge(context: Context[object], match: Match[int]) -> str:
        await asyncio.sleep(1)
        return "tie"

    report = await play(Tournament("g", judge=judge, items=range(4), stop_overlap=None))
    assert all(abs(each.quality) < 1e-9 for each in report.ranking)
    assert report.stop_reason == "max_matches"


@virtual
async def test_duplicates_are_one_and_so_is_what_is_called_similar() -> None:
    one = await play(Tournament("g", judge=honest(), items=[1, 2, 2, 3, 1]))
    assert (len(one.ranking), one.duplicates) == (3, 2)
    other = await play(
        Tournament("g", judge=honest(), items=[10, 11, 25], similar=lambda a, b: a // 10 == b // 10)
    )
    assert (len(other.ranking), other.duplicates) == (2, 1)


@virtual
async def test_one_item_has_nobody_to_play() -> None:
    report = await play(Tournament("g", judge=honest(), items=[7]))
    assert (report.stop_reason, report.best.item) == ("no pairs", 7)


@virtual
async def test_makers_add_items_that_play_at_once() -> None:
    async def generate(context: Context[object], board: Board[int]) -> Sequence[int]:
        await asyncio.sleep(3)
        return [len(board.ranking) * 2]

    async def evolve(context: Context[object], board: Board[int]) -> Sequence[int]:
        await asyncio.sleep(3)
        return [board.ranking[0].item + 1]

    tournament = Tournament(
        "g",
        judge=honest(),
        generate=generate,
        evolve=evolve,
        items=range(4),
        k=1,
        most_items=12,
        weights={"match": 0.6, "generate": 0.2, "evolve": 0.2},
        max_matches=80,
        stop_overlap=None,
    )
    report = await play(tournament)
    sources = {each.source.split("/")[0] for each in report.ranking}
    assert sources == {"given", "generate", "evolve"}
    assert report.best.item > 4
    assert len(report.ranking) <= 13


@virtual
async def test_a_maker_with_nothing_new_is_asked_no_more() -> None:
    asked = 0

    async def generate(context: Context[object], board: Board[int]) -> Sequence[int]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(1)
        return []

    tournament = Tournament("g", judge=honest(), generate=generate)
    report = await play(tournament)
    assert (report.stop_reason, report.ranking, asked) == ("no pairs", [], 3)


@virtual
async def test_a_person_edits_the_goal_adds_reviews_and_withdraws_meanwhile() -> None:
    goals: list[str] = []
    notes: set[str] = set()

    async def judge(context: Context[object], match: Match[int]) -> str:
        goals.append(match.goal)
        notes.update(match.first_notes + match.second_notes)
        live: LiveTournament[int] = LiveTournament.of(context)
        if match.number == 10:
            live.set_goal("the smallest")
            live.review(live.add(-5), "rather small")
        if match.number == 150:
            live.withdraw(live.add(-5), "unsafe")
        await asyncio.sleep(1)
        smaller = match.goal == "the smallest"
        return "first" if (match.first > match.second) != smaller else "second"

    report = await play(
        Tournament("the greatest", judge=judge, items=range(8), max_matches=300, stop_overlap=None)
    )
    assert goals[0] == "the greatest"
    assert goals[-1] == report.goal == "the smallest"
    assert "rather small" in notes
    assert report.best.item <= 1
    assert [(each.item, each.withdrawn) for each in report.withdrawn] == [(-5, "unsafe")]
    assert report.withdrawn[0].matches > 0
    assert any(report.withdrawn[0].id in (each.first, each.second) for each in report.matches)


@virtual
async def test_reviews_are_made_once_and_judges_see_them() -> None:
    reviewed: Counter[int] = Counter()
    seen: set[str] = set()

    async def review(context: Context[object], item: int, goal: str) -> str:
        reviewed[item] += 1
        await asyncio.sleep(1)
        return f"note on {item}"

    async def judge(context: Context[object], match: Match[int]) -> str:
        seen.update(match.first_notes)
        await asyncio.sleep(1)
        return "first" if match.first > match.second else "second"

    await play(Tournament("g", judge=judge, items=range(6), review=review, stop_overlap=None))
    assert reviewed == dict.fromkeys(range(6), 1)
    assert seen == {f"note on {item}" for item in range(6)}


@virtual
async def test_the_best_are_judged_in_debates_whose_sharpness_is_their_own() -> None:
    tournament = Tournament("g", judge=honest(), debate=honest(5), items=range(12), k=3, stop_overlap=None)
    report = await play(tournament)
    modes = Counter(each.mode for each in report.matches)
    assert modes["single"] > 0 < modes["debate"]
    assert set(report.sharpness) == {"single", "debate"}


@virtual
async def test_the_whole_order_is_settled_too() -> None:
    report = await play(
        Tournament("g", judge=honest(), items=range(10), objective="full_order", max_matches=2000)
    )
    assert report.stop_reason == "settled"
    assert report.settled >= 0.85
    assert [each.item for each in report.ranking] == pytest.approx(list(range(9, -1, -1)), abs=1)
    longer = await play(
        Tournament("g", judge=honest(), items=range(10), objective="full_order", stop_order=None)
    )
    assert longer.stop_reason == "max_matches"


@virtual
async def test_whether_debates_pay_is_told_by_their_tokens() -> None:
    single = FakeEndpoint(lambda request: "first" if "a a" in request.messages[-1].text else "second")
    debate = FakeEndpoint(lambda request: "Long thoughts. " * 500 + "\nfirst")
    items = [" ".join("a" * n) for n in range(1, 9)]
    tournament = Tournament("g", judge=Agent(single), debate=Agent(debate), items=items, stop_overlap=None)
    async with Runtime() as runtime:
        report = (await runtime.run(tournament)).output
    assert report.debates_pay is not None
    assert report.debates_pay < 0.1  # they cost a hundred times as much, and tell nothing
    assert (await play(Tournament("g", judge=honest(), items=range(4)))).debates_pay is None


@virtual
async def test_it_may_be_stopped() -> None:
    async with Runtime() as runtime, runtime.start(Tournament("g", judge=honest(), items=range(30))) as run:
        async for event in run:
            if isinstance(event, Custom):
                LiveTournament.of(run).stop()
                break
        report = (await run.result()).output
    assert report.stop_reason == "stopped"


def test_what_is_no_tournament_is_told() -> None:
    for given, told in (
        ({"k": 0}, "k must be 1 or more"),
        ({"items": []}, "nothing to compare"),
        ({"judge": 3}, "judge is an async function or an agent, not '3'"),
        ({"debate": "twice"}, "debate is an async function or an agent"),
        ({"objective": "best"}, "objective is"),
        ({"weights": {"mach": 1.0}}, "weights are"),
        ({"stop_overlap": 2.0}, "stop_overlap lies"),
        ({"stop_order": 0.0}, "stop_order lies"),
        ({"weights": {"match": 1}, "supervisor": FixedWeights({"match": 1})}, "give one of them"),
    ):
        with pytest.raises(UserError, match=told):
            Tournament("g", **{"judge": honest(), "items": [1, 2], **given})  # type: ignore[arg-type]


WORKER = """
import asyncio, json, os, random, sys
from agentflow import Runtime
from agentflow.tournament import Tournament
journal, die, asked, at_once = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
count = 0

async def judge(context, match):
    global count
    count += 1
    if count == die:
        os.kill(os.getpid(), 9)
    with open(asked, "a") as file:
        file.write(f"{match.number} {match.first} {match.second}\\n")
    if at_once > 1:
        await asyncio.sleep(random.random() / 100)
    chance = random.Random(f"{match.number} {match.first} {match.second}")
    return "first" if match.first - match.second + chance.gauss(0, 3) > 0 else "second"

async def main():
    async with Runtime(journal) as runtime:
        tournament = Tournament(
            "g", judge=judge, items=range(10), concurrency=at_once, max_matches=60, stop_overlap=None
        )
        report = (await runtime.run(tournament, key="t")).output
        print(json.dumps(
            {
                "ranking": [[each.item, each.quality, each.matches] for each in report.ranking],
                "numbers": [each.number for each in report.matches],
            }
        ))

asyncio.run(main())
"""


def sit(folder: Path, name: str, die: int, at_once: int) -> str:
    """Play in a process that kills itself when it judges for the `die`th time; return what it printed."""
    script = folder / "worker.py"
    script.write_text(WORKER)
    paths = [str(folder / f"{name}.db"), str(die), str(folder / f"{name}.txt"), str(at_once)]
    command = [sys.executable, str(script), *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert done.returncode in (0, -9), done.stderr
    return done.stdout


def test_killed_anywhere_and_gone_on_with_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole = sit(tmp_path, "whole", 0, 1)
    for die in (7, 25):
        assert sit(tmp_path, "killed", die, 1) == ""
    assert json.loads(sit(tmp_path, "killed", 0, 1)) == json.loads(whole)
    lines = (tmp_path / "killed.txt").read_text().splitlines()
    assert {line.split()[0] for line in lines} == {str(number) for number in range(1, 61)}
    assert len(set(lines)) == 60, "a match that is judged again after a crash is the same match"


def test_killed_with_many_matches_under_way_each_counts_once(tmp_path: Path) -> None:
    assert sit(tmp_path, "killed", 30, 8) == ""
    report = json.loads(sit(tmp_path, "killed", 0, 8))
    assert sorted(report["numbers"]) == list(range(1, 61))
    assert sum(matches for _, _, matches in report["ranking"]) == 120
    assert len(set((tmp_path / "killed.txt").read_text().splitlines())) == 60
