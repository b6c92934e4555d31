"""The kitchen example: its questions are sound, and every one is worked through in the known time."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest

from agentflow.main import run
from agentflow.workflow import load
from agentflow_protocols.duration import format_seconds, seconds_range

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS = [json.loads(line) for line in (EXAMPLES / "kitchen/questions.jsonl").read_text().splitlines()]
by_id = pytest.mark.parametrize("question", QUESTIONS, ids=[question["id"] for question in QUESTIONS])


def paths(after: dict[int, list[int]], number: int, end: int) -> int:
    return 1 if number == end else sum(paths(after, each, end) for each in after[number])


@by_id
def test_the_computed_fields(question) -> None:
    assert list(question) == [
        "id", "kind", "title", "steps", "edges", "optimal_seconds", "complexity", "paths",
    ]  # fmt: skip
    steps, edges = question["steps"], [tuple(edge) for edge in question["edges"]]
    numbers = range(1, len(steps) + 1)
    assert [step["id"] for step in steps] == list(numbers)
    assert all(tuple(step["seconds"]) == seconds_range(step["duration"]) for step in steps)
    assert len(set(edges)) == len(edges)
    assert all(a in numbers and b in numbers for a, b in edges)
    start, end = 0, len(steps) + 1
    edges += [(start, n) for n in numbers if all(b != n for _, b in question["edges"])]
    edges += [(n, end) for n in numbers if all(a != n for a, _ in question["edges"])]
    after = {n: [b for a, b in edges if a == n] for n in range(end + 1)}
    assert question["complexity"] == len(steps) + 2 + len(edges)
    assert question["paths"] == paths(after, start, end)
    for i in (0, 1):

        @cache
        def longest(number: int, i: int = i) -> float:
            own = steps[number - 1]["seconds"][i] if 0 < number < end else 0
            return own + max((longest(each) for each in after[number]), default=0)

        assert question["optimal_seconds"][i] == longest(start)
    chain = question["edges"] == [[n, n + 1] for n in numbers[:-1]]
    assert question["kind"] == (
        "sequential" if chain else "asynchronous" if question["edges"] else "parallel"
    )


def test_all_sizes_and_kinds_are_there() -> None:
    assert len(QUESTIONS) == len({question["id"] for question in QUESTIONS}) == 24
    sizes = [question["complexity"] for question in QUESTIONS]
    assert (min(sizes), max(sizes)) == (5, 26)
    assert len(set(sizes)) >= 12
    assert {question["kind"] for question in QUESTIONS} == {"asynchronous", "parallel", "sequential"}


@by_id
def test_the_example_takes_the_known_time(question) -> None:
    workflow = load(EXAMPLES / "kitchen.yaml")
    result = run(workflow, {"question": question}, clock="virtual")
    known = question["optimal_seconds"][1]
    assert result.virtual_s == pytest.approx(known, abs=1e-6)
    total = sum(step["seconds"][1] for step in question["steps"])
    assert f'The shortest time for all of it is "{format_seconds(known)}".' in result.output
    assert f"It took {format_seconds(known)}; one step after another takes {format_seconds(total)}." in (
        result.output
    )


def asynchow() -> Path:
    """Return the folder of AsyncHow's questions."""
    given = os.environ.get("AGENTFLOW_ASYNCHOW")
    folder = Path(given) if given else Path(__file__).parents[3] / "shared/data/asynchow"
    if not (folder / "async.jsonl").exists():
        pytest.skip("AsyncHow's questions are not here: set AGENTFLOW_ASYNCHOW to their folder")
    return folder


# The last four have durations whose words and seconds differ.
@pytest.mark.parametrize(
    "name", ["async-0000", "async-0100", "async-1113", "async-0356", "async-0589", "async-0594", "async-0829"]
)
def test_questions_of_asynchow_take_the_high_end_of_their_answer(name: str) -> None:
    file = asynchow() / "async.jsonl"
    question = next(q for q in map(json.loads, file.read_text().splitlines()) if q["id"] == name)
    workflow = load(EXAMPLES / "kitchen.yaml", inputs={"question": f"{file}:{name}"})
    assert run(workflow, clock="virtual").virtual_s == question["optimal_seconds"][1]
