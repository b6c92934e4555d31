"""Agents of a tournament: gates, looks and studies beside makers; what fails; and a kill anywhere."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy
import pytest
from virtual import virtual

from agentflow import Context, Runtime
from agentflow.errors import EndpointUnavailable, RemoteProtocolError, UserError
from agentflow.tournament import (
    Board,
    Halt,
    LiveTournament,
    Look,
    Make,
    Match,
    Reject,
    Standing,
    Statistics,
    Study,
    Tournament,
    TournamentReport,
)


async def greater(context: Context[object], match: Match[int]) -> str:
    """Judge: the greater number is better."""
    await asyncio.sleep(1)
    return "It is more.\nfirst" if match.first > match.second else "second"


async def doubled(context: Context[object], board: Board[int]) -> Sequence[int]:
    """Make twice the best."""
    await asyncio.sleep(2)
    return [2 * board.ranking[0].item]


async def played(tournament: Tournament[int]) -> TournamentReport[int]:
    async with Runtime() as runtime:
        return (await runtime.run(tournament)).output


@virtual
async def test_gates_keep_items_out_until_they_have_passed() -> None:
    seen: list[tuple[str, int]] = []

    async def safe(context: Context[object], one: Standing[int], board: Board[int]) -> str | Reject:
        seen.append(("safe", one.item))
        await asyncio.sleep(1)
        return Reject("13 is unsafe") if one.item == 13 else "safe"

    async def initial(context: Context[object], one: Standing[int], board: Board[int]) -> str | Reject:
        assert one.note("safe") is not None
        seen.append(("initial", one.item))
        await asyncio.sleep(1)
        return "plain"

    async def judge(context: Context[object], match: Match[int]) -> str:
        assert match.first_notes == match.second_notes == ("safe", "plain")
        return await greater(context, match)

    report = await played(
        Tournament(
            "g",
            judge=judge,
            items=[3, 13, 5],
            max_matches=4,
            agents={"safe": Look(safe, gate=True), "initial": Look(initial, gate=True)},
        )
    )
    assert [each.item for each in report.ranking] == [5, 3]
    assert [(each.item, each.withdrawn, each.matches) for each in report.withdrawn] == [
        (13, "13 is unsafe", 0)
    ]
    assert Counter(seen) == Counter([("safe", 3), ("safe", 13), ("safe", 5), ("initial", 3), ("initial", 5)])


@virtual
async def test_looks_go_to_who_is_due_and_again_after_further_matches() -> None:
    looked: list[tuple[int, int]] = []

    async def deep(context: Context[object], one: Standing[int], board: Board[int]) -> str:
        looked.append((one.item, one.matches))
        assert one.rank <= 2
        await asyncio.sleep(1)
        return f"after {one.matches}"

    report = await played(
        Tournament(
            "g",
            judge=greater,
            items=range(6),
            max_matches=60,
            stop_overlap=None,
            concurrency=2,
            agents={"deep": Look(deep, due=lambda one: one.rank <= 2 and one.matches >= 3, again=10)},
        )
    )
    best = [matches for item, matches in looked if item == 5]
    assert len(best) >= 2
    assert all(later >= sooner + 10 for sooner, later in pairwise(best))
    last = report.best.note("deep")
    assert last is not None
    assert last.text == f"after {best[-1]}"
    assert report.work["deep"].calls == len(looked)


@virtual
async def test_a_study_advises_all_others_and_one_may_halt_it() -> None:
    shown: list[Mapping[str, str]] = []

    async def meta(context: Context[object], board: Board[int]) -> str:
        assert all(match.said.startswith("It is more") or match.outcome == "second" for match in board.lately)
        return f"after {board.judged}"

    async def judge(context: Context[object], match: Match[int]) -> str:
        shown.append(match.advice)
        return await greater(context, match)

    async def guard(context: Context[object], board: Board[int]) -> str | Halt:
        return Halt("it grows too great") if board.ranking[0].item > 40 else ""

    report = await played(
        Tournament(
            "g",
            judge=judge,
            items=[1, 2],
            concurrency=2,
            stop_overlap=None,
            agents={
                "double": Make(doubled, needs=1),
                "meta": Study(meta, every=5),
                "guard": Study(guard, every=5),
            },
        )
    )
    assert (report.stop_reason, report.halted) == ("unsafe", "it grows too great")
    assert report.advice["meta"].startswith("after ")
    assert shown[0] == {}
    assert shown[-1]["meta"]
    assert report.history[-1].judged <= report.judged


@virtual
async def test_nothing_begins_before_a_gated_study_of_the_goal_and_each_new_goal_is_studied() -> None:
    done: list[str] = []

    async def plan(context: Context[object], board: Board[int]) -> str:
        await asyncio.sleep(5)
        done.append(board.goal)
        return f"plan for {board.goal}"

    async def judge(context: Context[object], match: Match[int]) -> str:
        assert match.advice["plan"] == f"plan for {match.goal}"
        if match.number == 6:
            LiveTournament.of(context).set_goal("another")
        return await greater(context, match)

    report = await played(
        Tournament(
            "one",
            judge=judge,
            items=range(5),
            max_matches=20,
            stop_overlap=None,
            agents={"plan": Study(plan, on_goal=True, gate=True)},
        )
    )
    assert done == ["one", "another"]
    assert report.judged == 20


@virtual
async def test_a_supervisor_is_told_how_it_goes_and_draws_by_its_weights() -> None:
    told: list[Statistics] = []

    class OnlyDouble:
        def weigh(self, seen: Statistics, chance: numpy.random.Generator) -> Mapping[str, float]:
            told.append(seen)
            return {"double": 1.0, "match": 0.0 if seen.room else 1.0}

    async def grown(context: Context[object], board: Board[int]) -> Sequence[int]:
        await asyncio.sleep(2)
        return [10 * len(board.ranking)]

    async def never(context: Context[object], board: Board[int]) -> Sequence[int]:
        raise AssertionError("it has no weight")

    report = await played(
        Tournament(
            "g",
            judge=greater,
            items=[1, 2],
            most_items=6,
            supervisor=OnlyDouble(),
            max_matches=30,
            agents={"double": Make(grown), "never": Make(never)},
        )
    )
    assert report.work["double"].calls >= 3
    assert told[0].room == 4
    assert [each.matches for each in told[-1].work["double"].made] == [0] * 3


@virtual
async def test_an_agent_whose_endpoint_fails_now_and_then_is_counted_and_one_that_is_down_fails_the_run() -> (
    None
):
    count = 0

    async def shaky(context: Context[object], board: Board[int]) -> Sequence[int]:
        nonlocal count
        count += 1
        if count % 2:
            raise EndpointUnavailable("busy")
        return [100 + count]

    options = {"judge": greater, "items": [1, 2], "most_items": 5, "max_matches": 60}
    report = await played(Tournament("g", agents={"shaky": Make(shaky)}, **options))  # type: ignore[arg-type]
    assert report.work["shaky"].calls > len(report.work["shaky"].made) == 3
    assert report.faults == {"shaky": "EndpointUnavailable: busy"}

    async def down(context: Context[object], board: Board[int]) -> Sequence[int]:
        raise EndpointUnavailable("down")

    with pytest.raises(EndpointUnavailable, match="down"):
        await played(Tournament("g", agents={"down": Make(down)}, **options))  # type: ignore[arg-type]


@virtual
async def test_a_study_of_the_goal_that_fails_is_asked_again_and_fails_the_run_in_the_end() -> None:
    count = 0

    async def plan(context: Context[object], board: Board[int]) -> str:
        nonlocal count
        count += 1
        if count < 3:
            raise RemoteProtocolError("prose")
        return "a plan"

    async def prose(context: Context[object], board: Board[int]) -> str:
        raise RemoteProtocolError("prose again")

    options = {"judge": greater, "items": [1, 2], "max_matches": 4}
    study = Study(plan, on_goal=True, gate=True)
    report = await played(Tournament("g", agents={"plan": study}, **options))  # type: ignore[arg-type]
    assert (report.advice, report.faults) == ({"plan": "a plan"}, {"plan": "RemoteProtocolError: prose"})
    study = Study(prose, on_goal=True, gate=True)
    with pytest.raises(RemoteProtocolError, match="prose again"):
        await played(Tournament("g", agents={"plan": study}, **options))  # type: ignore[arg-type]


@virtual
async def test_an_item_that_a_gate_cannot_look_at_does_not_play() -> None:
    async def safe(context: Context[object], one: Standing[int], board: Board[int]) -> str:
        if one.item == 2:
            raise EndpointUnavailable("it refuses")
        return "safe"

    report = await played(
        Tournament("g", judge=greater, items=[1, 2, 3], k=1, agents={"safe": Look(safe, gate=True)})
    )
    assert [each.item for each in report.ranking] == [3, 1]
    assert report.withdrawn[0].withdrawn == "safe could not review it"


@virtual
async def test_a_person_prefers_and_advises() -> None:
    async def judge(context: Context[object], match: Match[int]) -> str:
        live: LiveTournament[int] = LiveTournament.of(context)
        if match.number == 3:
            live.advise("Mind the odd ones.")
            ranked = {each.item: each.id for each in live.ranking}
            for _ in range(20):
                live.prefer(ranked[1], ranked[2])
            with pytest.raises(UserError, match="no item has the id"):
                live.prefer("nobody", ranked[1])
        await asyncio.sleep(1)
        return "tie"

    report = await played(Tournament("g", judge=judge, items=[1, 2, 3], max_matches=12, stop_overlap=None))
    assert report.best.item == 1
    assert report.ranking[-1].item == 2
    assert report.advice == {"expert": "Mind the odd ones."}


def test_what_is_no_agent_is_told() -> None:
    for agents, told in (
        ({"match": Make(doubled)}, "no agent can be named 'match'"),
        ({"a/b": Make(doubled)}, "no agent can be named"),
        ({"double": doubled}, "is a Make, a Look or a Study"),
    ):
        with pytest.raises(UserError, match=told):
            Tournament("g", judge=greater, items=[1, 2], agents=agents)  # type: ignore[arg-type]


WORKER = """
import asyncio, json, os, random, sys
from agentflow import Runtime
from agentflow.tournament import LiveTournament, Look, Make, Reject, Study, Tournament
journal, die, at_once, order = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
turn = open(order).read().split() if os.path.exists(order) else []
count, ended = 0, []

async def called(context):
    # Answers come in the order that was recorded, whatever process asks.
    global count
    count += 1
    if count == die:
        os.kill(os.getpid(), 9)
    name = context.run_id.rpartition("/")[2]
    if not turn:
        await asyncio.sleep(random.random() / 200)
        return random.Random(name)
    facts = context.state.parent.ledger
    done = {each for each in turn if (fact := facts.find(each.replace("-", "/"))) and fact.status == "ok"}
    while next(each for each in turn if each not in done and each not in ended) != name:
        await asyncio.sleep(0.001)
    return random.Random(name)

async def judge(context, match):
    chance = await called(context)
    return "first" if match.first - match.second + chance.gauss(0, 3) > 0 else "second"

async def make(context, board):
    chance = await called(context)
    top = board.ranking[chance.randrange(3)].item if len(board.ranking) > 2 else 0
    return [top + chance.randrange(1, 9) + board.number / 1000 for _ in range(chance.randrange(1, 4))]

async def look(context, standing, board):
    chance = await called(context)
    return Reject("odd") if chance.random() < 0.2 else f"{standing.item} with {len(board.ranking)}"

async def study(context, board):
    await called(context)
    return f"after {board.judged}: {[each.item for each in board.ranking[:3]]}"

async def main():
    async with Runtime(journal) as runtime:
        tournament = Tournament(
            "g", judge=judge, items=range(8), concurrency=at_once, max_matches=60, stop_overlap=None,
            weights={"match": 0.7, "make": 0.1, "look": 0.1, "meta": 0.1},
            agents={
                "gate": Look(look, gate=True), "make": Make(make, needs=1, at_once=2),
                "look": Look(look, due=lambda one: one.matches > 2, again=6), "meta": Study(study, every=8),
            },
        )
        async with runtime.start(tournament, key="t") as run:
            async for event in run:
                if getattr(event, "name", "") in ("match", "task") and event.data.get("state") != "began":
                    ended.append(f"{event.name}-{event.data['number']}")
            report = (await run.result()).output
        if not turn:
            open(order, "w").write(" ".join(ended))
        rows = [[e.item, e.source, e.quality, e.matches, [n.text for n in e.notes]] for e in report.ranking]
        print(json.dumps({
            "ranking": rows,
            "matches": sorted([p.number, p.first, p.second, p.outcome] for p in report.matches),
            "withdrawn": [e.item for e in report.withdrawn], "advice": dict(report.advice),
        }))

asyncio.run(main())
"""


def sit(folder: Path, name: str, die: int, at_once: int) -> str:
    """Play in a process that kills itself at its `die`th call; return what it printed."""
    script = folder / "worker.py"
    script.write_text(WORKER)
    order = str(folder / f"order{at_once}.txt")
    command = [sys.executable, str(script), str(folder / f"{name}.db"), str(die), str(at_once), order]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert done.returncode in (0, -9), done.stderr
    return done.stdout


@pytest.mark.parametrize("at_once", [1, 6])
def test_killed_anywhere_it_ends_as_if_nothing_had_been(tmp_path: Path, at_once: int) -> None:
    whole = json.loads(sit(tmp_path, "whole", 0, at_once))
    assert len(whole["matches"]) == 60
    assert any(source.startswith("make/") for _, source, *_ in whole["ranking"])
    for die in (9, 30, 21):
        assert sit(tmp_path, "killed", die, at_once) == ""
    assert json.loads(sit(tmp_path, "killed", 0, at_once)) == whole
