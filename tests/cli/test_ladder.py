"""A tournament on the command line: its ladder, its lines, and what a person types."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import in_terminal
from typer.testing import CliRunner
from virtual import virtual

from agentflow import Context, Runtime
from agentflow._cli.app import make_app
from agentflow._cli.gantt import width_of
from agentflow._cli.ladder import COMMANDS, LadderBoard, command, typed
from agentflow._cli.view import Board, Lines, drawn
from agentflow.errors import UserError
from agentflow.tournament import LiveTournament, Match, Tournament, TournamentReport
from agentflow_protocols.chat import Json
from agentflow_protocols.trace import Custom, RunFinished, RunStarted

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "examples/tournament.yaml")
RUN = [sys.executable, "-c", "from agentflow._cli import main; main()", "run"]


def ladder(count: int = 6, **more: Json) -> Custom:
    rows: list[Json] = [
        {
            "id": f"id{n}",
            "title": f"soup {n}" if n else "葱のスープ\x1b[2J",
            "quality": 3.0 - n,
            "low": 2.0 - n,
            "high": 4.0 - n,
            "matches": n,
            "source": "given" if n % 2 else "evolve/3",
        }
        for n in range(count)
    ]
    data: dict[str, Json] = {"judged": 40, "left": 60, "k": 2, "playing": 12, "settled": 0.5, "bias": 0.25}
    return Custom("ladder", {**data, "ranking": rows, **more}, run="r", time=1.0)


def begun() -> Custom:
    workers: dict[str, Json] = {"evolve": "make", "critic": "study"}
    data: dict[str, Json] = {"goal": "soup", "k": 2, "stop": 0.8, "agents": workers}
    return Custom("tournament", data, run="r", time=0.0)


def task(agent: str, state: str, made: int = 0) -> Custom:
    return Custom("task", {"number": 1, "agent": agent, "state": state, "made": made}, run="r", time=1.0)


def shown(board: LadderBoard, width: int = 90, height: int = 20) -> list[str]:
    return ["".join(text for text, _ in line) for line in board.lines(width, height)]


def test_the_ladder_is_drawn_with_bars_the_best_above_a_line_and_who_works_below() -> None:
    board = LadderBoard()
    board.take(begun())
    assert shown(board)[1] == "no verdict yet"
    for event in (
        ladder(),
        task("evolve", "began"),
        task("evolve", "began"),
        task("evolve", "ended", 2),
        task("critic", "failed"),
        RunStarted("job", "ask", run="r/match-7"),
        RunStarted("job", "ask", run="r/match-8"),
        RunFinished("succeeded", run="r/match-7"),
        RunStarted("agent", "judge", run="r/match-8/judge-1"),
    ):
        board.take(event)
    lines = shown(board)
    assert lines[0] == "soup"
    assert lines[1] == (
        "40 of 101 matches  1 under way  12 items  50% settled (ends at 80% when no more is made)"
        "  order bias +0.25"
    )
    assert lines[2].startswith("  1 葱のスープ?[2J")
    assert set(lines[4]) == {"┄"}
    assert lines[5].startswith("  3 soup 2")
    assert re.search(r"━●━+ +1\.00 ± 1\.00   2 evolve", lines[5])
    assert lines[-2:] == [
        "  evolve          1 at work  1 done  2 new items, 1 of the best 2",
        "  critic          waits  1 done  1 failed",
    ]
    middles = [line.index("●") for line in lines[2:] if "●" in line]
    assert middles[1:] == sorted(middles[1:], reverse=True), "the worse, the further to the left"


@pytest.mark.parametrize("height", range(1, 24, 3))
@pytest.mark.parametrize("width", [20, 60, 140])
def test_it_fits_whatever_the_terminal_is(width: int, height: int) -> None:
    board = LadderBoard()
    data = begun()
    assert isinstance(data.data, dict)
    data.data["agents"] = {f"worker_{n}": "make" for n in range(23)}
    board.take(data)
    board.take(ladder(10))
    assert len(board.lines(width, height)) <= height
    whole = Board()
    whole.take(RunStarted("workflow", "soups", run="r"))
    for event in (data, ladder(10), task("worker_3", "began")):
        whole.take(event)
    for line in drawn(whole, width, height):
        assert width_of(line) <= width
    assert "and 15 more" in "".join(shown(board, 100, 24))


def test_what_is_no_tournament_is_taken_as_nothing() -> None:
    board = LadderBoard()
    for data in (None, 3, {"ranking": "x"}, {"agents": 3}, {}):
        for name in ("ladder", "task", "item", "match"):
            board.take(Custom(name, data))  # type: ignore[arg-type]
            assert board.line(Custom(name, data)) is None  # type: ignore[arg-type]
    assert not board
    board.take(Custom("ladder", {"ranking": [{"id": 1, "quality": "x"}, 3]}))  # type: ignore[dict-item]
    assert len(shown(board)) == 3


def test_where_nothing_is_drawn_a_line_comes_now_and_then() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    lines.take(RunStarted("workflow", "soups", run="r"))
    lines.take(begun())
    for number in range(100):
        lines.take(RunStarted("job", "ask", run=f"r/match-{number}"))
        lines.take(RunFinished("succeeded", run=f"r/match-{number}"))
        lines.take(ladder(judged=number, left=100 - number))
    lines.take(task("evolve", "ended", 2))
    lines.take(Custom("item", {"id": "abc", "source": "person"}, run="r"))
    lines.take(RunFinished("succeeded", run="r"))
    texts = [line.partition("] ")[2] for line in said]
    assert texts[1] == "the best 2 for: soup"
    assert texts[2].startswith("0 of 100 matches, 12 items, 50% settled")
    assert len(texts) == 2 + 20 + 3
    assert texts[-3:] == ["evolve: 2 new items", "a person put in an item, abc", "r succeeded"]


async def commanded(
    tournament: Tournament[object], lines: list[str]
) -> tuple[list[str], TournamentReport[object]]:
    """Type lines while a tournament runs; return what was told of each, and the report."""
    told: list[str] = []
    async with Runtime() as runtime, runtime.start(tournament) as run:
        async for event in run:
            if isinstance(event, Custom) and event.name == "ladder":
                live: LiveTournament[object] = LiveTournament.of(run)
                for line in lines:
                    try:
                        told.append(command(live, line))
                    except UserError as error:
                        told.append(f"error: {error}")
                break
        report = (await run.result()).output
    return told, report


async def longest(context: Context[object], match: Match[object]) -> str:
    await asyncio.sleep(1)
    return "first" if len(str(match.first)) > len(str(match.second)) else "second"


@virtual
async def test_a_person_adds_judges_and_ends_it_by_what_they_type() -> None:
    soups = ["leek", "leek leek", "potato"]
    tournament: Tournament[object] = Tournament(
        "a soup", judge=longest, items=soups, stop_overlap=None, id=str
    )
    told, report = await commanded(
        tournament,
        [
            "a soup of mine",
            "/add leek, again",
            "/goal a long soup",
            "/review a too salty",
            "/prefer leek, potato",
            "/advise more thyme",
            "/restrict a cook, another",
            "/withdraw potato it is green",
            "/stop",
        ],
    )
    assert told == [
        "the item is a soup of mine",
        "the item is leek, again",
        "the goal from now on: a long soup",
        "judges see it with a soup of mine",
        "leek, again is better than potato",
        "told to those that make items from now on",
        "sources from now on: a cook, another",
        "taken out: potato",
        "it ends with what is known",
    ]
    assert (report.stop_reason, report.goal) == ("stopped", "a long soup")
    assert [each.withdrawn for each in report.withdrawn] == ["it is green"]
    assert report.advice["sources"] == "a cook\nanother"


@virtual
async def test_what_can_t_be_meant_is_told() -> None:
    tournament: Tournament[object] = Tournament("a soup", judge=longest, items=["aa", "ab", "b"], id=str)
    told, _ = await commanded(
        tournament,
        ["/gaol x", "/goal", "/review 7 x", "/review a x", "/review bb x", "/withdraw 1", "/help", "/stop"],
    )
    assert told[0].startswith("error: no command `/gaol`; there are /add")
    assert told[0].endswith("(did you mean `/goal`?)")
    assert told[1] == "error: /goal TEXT: change the goal"
    assert told[2] == "error: no item `7`: give a rank from 1 to 3, or an id"
    assert told[3] == "error: 2 items have an id that begins with `a`"
    assert told[4].endswith("(did you mean `b`?)")
    assert told[5] == "error: /withdraw ID WHY: take an item out"
    assert told[6].count("\n") == len(COMMANDS) - 1


@virtual
async def test_items_that_are_no_texts_are_typed_as_json() -> None:
    tournament: Tournament[object] = Tournament("numbers", judge=longest, items=[1, 22], item_type=int)
    told, report = await commanded(tournament, ["333", "leek", "[1]", "/stop"])
    assert told[0].startswith("the item is ")
    assert told[1].startswith("error: items of this tournament are JSON, and this is none")
    assert told[2].startswith("error: this is no such item")
    assert 333 in [each.item for each in report.ranking]


@virtual
async def test_a_line_to_a_run_with_no_tournament_is_an_error() -> None:
    async def nothing(context: Context[object], input: None) -> Json:
        await asyncio.sleep(1)
        return None

    async with Runtime() as runtime, runtime.start(nothing) as run:
        assert typed(run, "/stop").startswith("error: ")
        await run.result()


def test_a_check_says_how_much_it_may_come_to(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text("async def judge(context, match): ...\n")
    head = "agentflow: 1\ninputs: {n: {type: integer}}\ntournament:\n  goal: x\n  judge: judge:judge\n"
    for text, told in (
        ("  items: [1, 2, 3]\n", "; 3 items, at most 45 matches"),
        ("  items: [1, 2, 3]\n  evolve: judge:judge\n", "; up to 64 items, at most 960 matches"),
        ('  items: "{{ range(inputs.n) }}"\n', "; a tournament"),
        ('  items: "{{ range(inputs.n) }}"\n  max_matches: 9\n', "; a tournament, at most 9 matches"),
    ):
        (tmp_path / "w.yaml").write_text(head + text)
        result = CliRunner().invoke(make_app(), ["check", str(tmp_path / "w.yaml")])
        assert result.stdout.strip().endswith(f"ok{told}"), result.output
    result = CliRunner().invoke(make_app(), ["check", EXAMPLE, "--json"])
    assert json.loads(result.stdout)["files"][0]["tournament"]["workers"]["critic"] == "study"


def test_the_example_is_drawn_in_a_terminal(tmp_path: Path) -> None:
    shown, printed = in_terminal([*RUN, EXAMPLE, "--no-journal", "--speed", "6"], tmp_path)
    output = json.loads(printed)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "settled (ends at 70% when no more is made)" in text
    assert re.search(r"━●━+ +-?\d\.\d\d ± \d\.\d\d +\d+ (given|evolve|cook)", text)
    assert re.search(r"evolve +\d at work", text)
    assert "ask (job)" not in text
    assert output["ended"] in ("settled", "max_matches")


def test_the_example_is_told_in_lines_and_the_dragon_is_no_soup(tmp_path: Path) -> None:
    words = [*RUN, EXAMPLE, "--no-journal", "--virtual-time", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)["output"]
    assert output["ended"] in ("settled", "max_matches")
    assert output["between"][0] < output["quality"] < output["between"][1]
    assert done.stderr.count("\n") < 60
    assert "cook: 1 new item" in done.stderr
    again = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert json.loads(again.stdout)["output"] == output, "one at the same seed is as the other"


def test_a_person_types_while_it_runs(tmp_path: Path) -> None:
    words = [*RUN, EXAMPLE, "--no-journal", "--interactive", "--json"]
    with subprocess.Popen(
        words, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout is not None
        told = ""
        while " of " not in told:
            told = process.stderr.readline()
        soup = '{"title": "mine", "leeks": 4, "potatoes": 2, "cream": 0.2, "thyme": 2, "minutes": 40}'
        process.stdin.write(f"{soup}\nsalt\n/goal a soup for June\n/stop\n")
        process.stdin.flush()
        told = process.stderr.read()
        output = json.loads(process.stdout.read())["output"]
    assert process.returncode == 0
    assert "the item is mine" in told
    assert "error: items of this tournament are JSON" in told
    assert "the goal from now on: a soup for June" in told
    assert "it ends with what is known" in told
    assert output["ended"] == "stopped"
