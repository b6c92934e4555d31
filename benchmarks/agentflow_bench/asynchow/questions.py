"""AsyncHow's questions: read from JSON Lines, a folder, or the original's file; drawn in a fixed order."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from agentflow.errors import UserError
from agentflow_protocols.duration import format_seconds, seconds_range
from agentflow_protocols.errors import RemoteProtocolError
from agentflow_protocols.plan import PlanStep, PlanText, faults, tidy

__all__ = ["SAMPLE", "SEED", "Question", "draw", "question_of", "read_questions", "size_of", "words_of"]

SAMPLE = Path(__file__).with_name("sample.jsonl")
SEED = 2024
_FILES = ("async.jsonl", "para.jsonl", "seq.jsonl")
_ORIGINALS = ("async_benchmark.pkl", "para_benchmark.pkl", "seq_benchmark.pkl")


@dataclass(frozen=True, slots=True)
class Question:
    """One task. `gold` is the known answer in seconds (fewest, most), `complexity` |V| + |E| of the graph."""

    id: str
    kind: str
    title: str
    plan: PlanText
    gold: tuple[float, float]
    complexity: int

    @property
    def task(self) -> str:
        """The title without its `How to`."""
        return self.title.removeprefix("How to ").strip()


def read_questions(path: Path | None = None) -> list[Question]:
    """Return the questions of a file or a folder, by default of the project's own sample.

    A file is JSON Lines, or a pickle of the original's, which is read without running anything in it.
    Raises `UserError` with the place of what is no question.
    """
    path = path or SAMPLE
    if path.is_dir():
        files = [path / name for name in _FILES if (path / name).exists()]
        files = files or [path / name for name in _ORIGINALS if (path / name).exists()]
        if not files:
            raise UserError(f"{path}: no {', '.join(_FILES)} there, nor {_ORIGINALS[0]}")
    else:
        files = [path]
    questions: list[Question] = []
    for file in files:
        if file.suffix == ".pkl":
            from agentflow_bench.asynchow.original import read_original

            records: Iterable[tuple[int, object]] = enumerate(read_original(file), 1)
        else:
            records = _lines(file)
        questions += [_question(file, number, record) for number, record in records]
    if not questions:
        raise UserError(f"{path}: no questions there")
    return questions


def _lines(file: Path) -> Iterable[tuple[int, object]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise UserError(f"{file}:{number}: no JSON: {error}") from None


def _question(file: Path, number: int, record: object) -> Question:
    try:
        question = question_of(cast("Mapping[str, object]", record))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{file}:{number}: no task: {type(error).__name__}: {error}") from None
    wrong = faults(question.plan)
    if wrong:
        raise UserError(f"{file}:{number}: no task: {wrong[0]}")
    return question


def question_of(record: Mapping[str, object]) -> Question:
    """Return the question of a record. Raises `KeyError`, `TypeError` or `ValueError`."""
    steps = tuple(_step(step) for step in cast("Sequence[Mapping[str, object]]", record["steps"]))
    pairs = cast("Sequence[Sequence[int]]", record["edges"])
    plan = PlanText(steps, tuple((str(a), str(b)) for a, b in pairs))
    low, high = cast("Sequence[float]", record["optimal_seconds"])
    complexity = record.get("complexity")
    return Question(
        str(record["id"]),
        str(record.get("kind") or "asynchronous"),
        str(record["title"]),
        plan,
        (float(low), float(high)),
        complexity if isinstance(complexity, int) else size_of(plan),
    )


def _step(step: Mapping[str, object]) -> PlanStep:
    low, high = cast("Sequence[float]", step["seconds"])
    seconds = (float(low), float(high))
    words = words_of(str(step.get("duration") or ""), seconds)
    return PlanStep(str(step["id"]), tidy(str(step["text"])), words, seconds)


def words_of(words: str, seconds: tuple[float, float]) -> str:
    """Return a duration's words, others where they say something else than its seconds, which count.

    Eight of the original's, such as `2 days 6 hours`, say more than is counted.
    """
    try:
        if seconds_range(words) == seconds:
            return words
    except RemoteProtocolError:
        pass
    return format_seconds(seconds[1])


def size_of(plan: PlanText) -> int:
    """Return |V| + |E| of a plan, START and END counted."""
    firsts = sum(not earlier for earlier in plan.after().values())
    lasts = sum(not later for later in plan.before().values())
    return len(plan.steps) + 2 + len(plan.edges) + firsts + lasts


def draw(questions: Sequence[Question], count: int | None = None) -> list[Question]:
    """Return `count` questions (default: all), of each number of steps its share, in a fixed random order.

    The order within each number of steps is `random.Random(2024).sample`'s.
    """
    groups: dict[int, list[Question]] = {}
    for question in questions:
        groups.setdefault(len(question.plan.steps), []).append(question)
    count = len(questions) if count is None else min(count, len(questions))
    shares = {size: count * len(group) / len(questions) for size, group in groups.items()}
    taken = {size: int(share) for size, share in shares.items()}
    rest = sorted(shares, key=lambda size: (taken[size] - shares[size], size))
    for size in rest[: count - sum(taken.values())]:
        taken[size] += 1
    chance = random.Random(SEED)
    return [
        question
        for size in sorted(groups)
        for question in chance.sample(groups[size], len(groups[size]))[: taken[size]]
    ]
