"""Looking through an experiment without asking anything."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agentflow.batch.apis import Environment
from agentflow.batch.batch import Batch, Endpoints
from agentflow.batch.lines import read_lines
from agentflow.batch.options import BatchOptions
from agentflow.batch.place import Folder, as_lines, filing
from agentflow.batch.survey import Survey, survey
from agentflow.errors import UserError
from agentflow_protocols.experiment import ExperimentError, Problem, Record, ask_of, doubts, problems

__all__ = ["check_experiment"]

_MOST = 1_000  # of what is said


def check_experiment(
    file: Path,
    data: Path,
    *,
    environment: Environment | None = None,
    endpoints: Endpoints | None = None,
    scorers: Sequence[str] = (),
    options: BatchOptions | None = None,
    move: bool = False,
) -> Survey:
    """Return what an experiment holds and all that is wrong with it.

    A key or an address that is missing is a problem of line 0. With `move`, a file with which
    nothing is wrong goes to the input folder. Raises `UserError` for a file that is not there.
    """
    with filing():
        if not file.is_file():
            raise UserError(f"{file}: no such file to check")
    site = Folder(data, file, move=move)
    batch = Batch(site, options, endpoints=endpoints, environment=environment, scorers=scorers)
    with tempfile.TemporaryDirectory() as folder:
        lines = as_lines(file, Path(folder) / "lines.jsonl")
        found = asyncio.run(survey(lines, None, batch.lane_of, batch.faults))
        _look_closer(found, batch, lines, data / "media")
    if not found.prompts:
        found.fault(Problem(0, "no prompts in it"))
    for text in sorted(_unusable(found, batch)):
        found.fault(Problem(0, text))
    if move and not found.faulty:
        site.move_in()
    return found


def _look_closer(found: Survey, batch: Batch, lines: Path, media: Path) -> None:
    """Say all that is wrong with each line, what looks like a slip, and which media are not there."""
    found.problems = []
    found.faulty = 0
    for line in read_lines(lines):
        content = line.content
        wrong = [content.message] if isinstance(content, Problem) else batch.faults(content)
        if isinstance(content, Record):
            wrong += [text for text in problems(content) if text not in wrong]
            wrong += _missing_media(content, media)
            for doubt in doubts(content):
                found.note(content.line, doubt)
        found.faulty += bool(wrong)
        if len(found.problems) < _MOST:
            found.problems += [Problem(content.line, text) for text in wrong]


def _missing_media(record: Record, media: Path) -> list[str]:
    try:
        ask = ask_of(record)
    except ExperimentError:
        return []
    return [f"no media file {media / item.path}" for item in ask.media if not (media / item.path).is_file()]


def _unusable(found: Survey, batch: Batch) -> set[str]:
    """Return what keeps endpoints from being used."""
    told: set[str] = set()
    for key in found.lanes:
        try:
            batch.endpoint_of(key).check()
        except UserError as error:
            told.add(str(error))
    return told
