"""Trials: cases tried, kept and told; intervals; two results compared."""

from __future__ import annotations

import asyncio
import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentflow import Agent, Context, Runtime
from agentflow.errors import EndpointUnavailable, UserError
from agentflow.runtime.loop import new_loop, run_in
from agentflow.runtime.sqlite import JournalInUse
from agentflow.testing import FakeEndpoint
from agentflow_bench.command import app
from agentflow_bench.trials import Case, Published, Row, Score, Trials, run_trials, summary, try_all
from agentflow_bench.trials.compare import compare_rows
from agentflow_bench.trials.intervals import difference, mean_interval, sign_test, wilson
from agentflow_bench.trials.row import read_rows
from agentflow_bench.trials.run import Keeping
from agentflow_protocols.trace import event_from_line

CASES = [
    Case(str(number), number, {"parity": ("even", "odd")[number % 2], "size": number}) for number in range(12)
]


def sums(**more: object) -> Trials[int]:
    """Return trials of who doubles numbers, and is wrong about those that divide by 5."""

    async def double(context: Context[object], number: int) -> Score:
        await asyncio.sleep(number)
        answer = 2 * number if number % 5 else -1
        figures = {"answer": answer, "big": answer > 10, "rest": None if number else 1.0}
        fault = None if answer == 2 * number else "guessed"
        return Score(fault is None, figures, fault, {"said": str(answer)})

    return Trials("sums", {"agent": "doubler"}, CASES, double, clock="virtual", **more)  # type: ignore[arg-type]


def test_cases_become_rows_a_summary_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = sums(published=[Published("others", "A. Paper, Table 1", 0.5, {"parity": {"even": 0.25}})])
    status = run_trials([trials], Keeping(tmp_path, tmp_path / "j", traces=True), as_data=True)
    told = json.loads(capsys.readouterr().out)
    assert status == 0
    assert (told["name"], told["n"], told["right"], told["big"]) == ("sums-doubler", 12, 9, 5)
    assert told["faults"] == {"guessed": 3}
    assert told["by_parity"]["odd"]["n"] == 6
    assert list(told["by_size"]) == [str(number) for number in range(12)]  # numbers in their order
    low, high = told["figures"]["answer"]["interval"]
    assert low < told["figures"]["answer"]["mean"] < high
    assert told["figures"]["rest"]["n"] == 1
    rows = read_rows(tmp_path / "sums-doubler.jsonl")
    assert [row.id for row in rows] == [case.id for case in CASES]
    assert rows[3] == Row(
        "3", {"parity": "odd", "size": 3}, True, figures={"answer": 6, "big": False, "rest": None},
        seconds=3.0, wall_s=rows[3].wall_s, detail={"said": "6"},
    )  # fmt: skip
    page = (tmp_path / "sums-doubler.md").read_text()
    assert "| *others* |  | 50.0 % |" in page
    assert "*Published*, in italics: A. Paper, Table 1." in page
    assert "Not right, doubler: guessed 3." in page
    assert (tmp_path / "sums-doubler.svg").read_text().count("<circle") == 12
    trace = (tmp_path / "sums-doubler.traces/7.jsonl").read_text().splitlines()
    assert [type(event_from_line(line)).__name__ for line in trace] == ["RunStarted", "RunFinished"]


async def test_what_fails_is_tried_again_and_nothing_else_is(tmp_path: Path) -> None:
    broken = {"3", "4"}

    def answer(request):
        number = request.messages[-1].text
        return EndpointUnavailable("no connection") if number in broken else str(2 * int(number))

    agent = Agent(model := FakeEndpoint(answer, retry=1))

    async def ask(context: Context[object], number: int) -> Score:
        told = (await context.run(agent, str(number), key="ask")).output
        return Score(told == str(2 * number), detail={"told": told})

    trials = Trials("sums", {}, CASES, ask)

    async def sitting() -> list[Row]:
        async with Runtime(journal=tmp_path / "trials.db") as runtime:
            return await try_all(trials, runtime)

    first = summary(trials, rows := await sitting())
    assert (first["right"], first["failed"]) == (10, 2)
    assert "no connection" in str(rows[3].error)
    asked = len(model.requests)
    broken.clear()
    second = summary(trials, await sitting())
    assert (second["right"], second["failed"]) == (12, 0)
    assert len(model.requests) == asked + 2
    third = summary(trials, await sitting())
    assert third["tokens"] == second["tokens"] != 0
    assert len(model.requests) == asked + 2


def test_an_answer_is_judged_anew(tmp_path: Path) -> None:
    wanted = 1.0

    def judge(number: int, score: Score) -> Score:
        return Score(score.figures["answer"] == wanted, score.figures, detail=score.detail)

    async def sitting() -> list[Row]:
        async with Runtime(journal=tmp_path / "trials.db") as runtime:
            return await try_all(sums(judge=judge), runtime)

    for right in (2.0, 4.0):
        wanted = right
        rows = run_in(lambda: new_loop("virtual"), sitting())
        assert [row.right for row in rows] == [row.figures["answer"] == right for row in rows]
        assert sum(row.right for row in rows) == 1


def test_ctrl_c_keeps_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopped = True

    async def work(context: Context[object], number: int) -> Score:
        await asyncio.sleep(number)
        if stopped and number == 6:
            raise KeyboardInterrupt
        done.append(number)
        return Score(True)

    done: list[int] = []
    trials = Trials("sums", {}, CASES, work, clock="virtual")
    keeping = Keeping(tmp_path, tmp_path / "j", quiet=True)
    assert run_trials([trials], keeping) == 130
    assert "the same command goes on" in capsys.readouterr().err
    stopped = False
    assert run_trials([trials], keeping) == 0
    assert sorted(done) == list(range(12))
    assert run_trials([trials], Keeping(tmp_path, tmp_path / "j", fresh=True, quiet=True)) == 0
    assert len(done) == 24


def test_a_journal_in_use_is_not_begun_anew(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path, tmp_path / "j", fresh=True, quiet=True)

    async def beside() -> None:
        async with Runtime(journal=tmp_path / "j" / "sums-doubler.db"):
            await asyncio.to_thread(lambda: run_trials([sums()], keeping))

    with pytest.raises(JournalInUse, match="owns it"):
        asyncio.run(beside())
    assert run_trials([sums()], keeping) == 0


def test_a_folder_that_cannot_be_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "in"):
        with pytest.raises(UserError, match="name another folder by --out"):
            run_trials([sums()], Keeping(out, tmp_path / "j", quiet=True))
    assert not (tmp_path / "j").exists()


def test_what_is_no_bench() -> None:
    with pytest.raises(UserError, match="no cases"):
        Trials("sums", {}, [], sums().solve)
    with pytest.raises(UserError, match="two cases are called '1'"):
        Trials("sums", {}, [CASES[1], CASES[1]], sums().solve)


async def test_a_detail_may_not_hide_a_part_of_the_row() -> None:
    async def work(context: Context[object], number: int) -> Score:
        return Score(True, detail={"right": False})

    async with Runtime() as runtime:
        with pytest.raises(UserError, match="called 'right'"):
            await try_all(Trials("sums", {}, CASES[:1], work), runtime)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", r"rows\.jsonl:2: no row"),
        ("[" * 100_000, r"rows\.jsonl:2: no row"),
        ("[]", "should be a valid dictionary"),
        ('{"id": "a"}', "by: Field required"),
        ('{"id": "a", "by": 1, "right": true, "figures": {}}', "by: Input should be a valid dictionary"),
        ('{"id": "a", "by": {}, "right": "yes", "figures": {}}', "right: Input should be a valid boolean"),
        ('{"id": "a", "by": {}, "right": true, "figures": {"n": NaN}}', "NaN is no number"),
        ('{"id": ["a"], "by": {}, "right": true, "figures": {}}', "id: Input should be a valid string"),
    ],
)
def test_files_that_hold_no_rows(tmp_path: Path, line: str, fault: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(Row("a").as_line() + "\n" + line + "\n")
    with pytest.raises(UserError, match=fault):
        read_rows(file)
    file.write_text("\n")
    with pytest.raises(UserError, match="no rows"):
        read_rows(file)
    with pytest.raises(UserError, match="No such file"):
        read_rows(tmp_path / "none.jsonl")


def test_two_results_are_compared_case_by_case(tmp_path: Path) -> None:
    rng = random.Random(1)
    hard = [rng.random() for _ in range(200)]
    before = [Row(str(i), right=h < 0.5, figures={"steps": 20 + 10 * h}) for i, h in enumerate(hard)]
    after = [Row(str(i), right=h < 0.6, figures={"steps": 19 + 10 * h}) for i, h in enumerate(hard)]
    for name, rows in (("before", before), ("after", [*after, Row("more"), Row("0x", error="none")])):
        (tmp_path / f"{name}.jsonl").write_text("".join(row.as_line() + "\n" for row in rows))
    told = compare_rows(tmp_path / "before.jsonl", tmp_path / "after.jsonl")
    assert (told.n, told.alone, told.right_before) == (200, 1, 0)
    assert told.right_after == sum(0.5 <= h < 0.6 for h in hard)
    assert told.p < 0.001
    steps = next(each for each in told.figures if each.name == "steps")
    assert steps.sure
    assert steps.difference == pytest.approx(-1)  # the cases are paired: their spread does not matter
    result = CliRunner().invoke(
        app, ["compare", *(str(tmp_path / f"{n}.jsonl") for n in ("before", "after"))]
    )
    assert result.exit_code == 0
    assert "200 cases that both have" in result.stdout
    assert "McNemar" in result.stdout
    same = compare_rows(tmp_path / "before.jsonl", tmp_path / "before.jsonl")
    assert same.p == 1.0
    assert not any(each.sure for each in same.figures)
    (tmp_path / "other.jsonl").write_text(Row("z").as_line())
    with pytest.raises(UserError, match="no case in common"):
        compare_rows(tmp_path / "before.jsonl", tmp_path / "other.jsonl")


def test_intervals_are_those_of_the_books() -> None:
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775328), abs=1e-6)
    assert wilson(0, 0) == (0.0, 1.0)
    assert sign_test(0, 5) == pytest.approx(0.0625)
    assert sign_test(3, 3) == 1.0
    assert sign_test(0, 0) == 1.0
    assert mean_interval([2.0, 2.0]) == (2.0, 2.0)
    assert math.isnan(mean_interval([])[0])
    values = [float(value) for value in range(101)]
    low, high = mean_interval(values)
    half = 1.96 * math.sqrt(sum((value - 50) ** 2 for value in values) / 101) / math.sqrt(101)
    assert (low, high) == pytest.approx((50 - half, 50 + half), abs=0.6)
    assert mean_interval(values) == (low, high)


@given(st.integers(0, 300), st.integers(0, 300))
def test_an_interval_holds_its_share(right: int, wrong: int) -> None:
    low, high = wilson(right, right + wrong)
    assert 0 <= low <= high <= 1
    if right + wrong:
        assert low - 1e-12 <= right / (right + wrong) <= high + 1e-12


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_a_difference_of_a_thing_with_itself_is_none(values: list[float]) -> None:
    assert difference(values, values) == (0.0, (0.0, 0.0))
    assert 0 <= sign_test(len(values), 0) <= 1
