"""A first reading of the whole input, before anything is sent: what is there, what is wrong, what is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agentflow.batch.completed import look_up
from agentflow.batch.lane import Lane, LaneKey, LaneOf
from agentflow.batch.lines import read_pages
from agentflow.batch.store import Store
from agentflow_protocols.experiment import Problem, Record

__all__ = ["Survey", "survey"]

_SHOWN = 20
_IDS = 50_000  # ids that are watched for a second use
_LANES = 1_000


@dataclass(slots=True)
class Survey:
    """What an input holds. `problems` are of lines that can't be asked, `notes` of odd ones that can."""

    prompts: int = 0
    answered: int = 0
    failed: int = 0
    faulty: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    lanes: dict[LaneKey, Lane] = field(default_factory=dict)
    models: set[tuple[str | None, str, str]] = field(default_factory=set)

    def fault(self, problem: Problem) -> None:
        """Count a line that can't be asked."""
        self.faulty += 1
        if len(self.problems) < _SHOWN:
            self.problems.append(problem)

    def note(self, line: int, text: str) -> None:
        """Keep a remark on a line."""
        if len(self.notes) < _SHOWN:
            self.notes.append(Problem(line, text))


async def survey(
    path: Path, store: Store | None, lane_of: LaneOf, faults: Callable[[Record], list[str]]
) -> Survey:
    """Read the input at `path` once. `faults` says what is wrong with a record that has no lane."""
    found = Survey()
    ids: dict[int, int] = {}
    for page in read_pages(path):
        for line, known in await look_up(page, store):
            found.prompts += 1
            content = line.content
            if known is not None:
                found.answered += known.status == "ok"
                found.failed += known.status == "failed"
            if isinstance(content, Problem):
                found.fault(content)
                continue
            for note in content.notes:
                found.note(content.line, note)
            _watch(found, ids, content)
            key = lane_of(content)
            if key is None:
                if known is not None and known.status == "ok":
                    continue  # answered before more was wanted of it, such as `expected_response`
                found.fault(Problem(content.line, faults(content)[0]))
                continue
            lane = found.lanes.get(key)
            if lane is None:
                if len(found.lanes) >= _LANES:
                    found.fault(Problem(content.line, f"more than {_LANES} models or groups in one file"))
                    continue
                lane = found.lanes[key] = Lane(key, content.line, line.offset)
                found.models.add((content.group, content.api, content.model))
            lane.take(line, known)
        await asyncio.sleep(0)
    return found


def _watch(found: Survey, ids: dict[int, int], record: Record) -> None:
    """Note an id that another line has, too; both are answered."""
    if "id" not in record.values or len(ids) >= _IDS:
        return
    first = ids.setdefault(hash(repr(record.values["id"])), record.line)
    if first != record.line:
        found.note(record.line, f"its id is that of line {first}, too; both are asked")
