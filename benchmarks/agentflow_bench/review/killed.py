"""A review that is killed with `kill -9` again and again: what is asked twice, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentflow.review import Record, Reviewer, ReviewRounds, Round, disagreement, scored
from agentflow.runtime import Context, Runtime
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.chat import Json
from agentflow_protocols.trace import Custom, Event

__all__ = ["KILLED", "main"]

_AT_ONCE = 8  # rows
_MOST = _AT_ONCE * 3  # looks under way: three screen
_NONE = Bar("==", 0)


def main(journal: str, count: int) -> None:
    """Review a table and tell on stdout what is asked and what is done; the last line is the report."""
    asyncio.run(_review(Path(journal), count))


async def _review(journal: Path, count: int) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, Custom) and event.name == "look" and isinstance(event.data, dict):
            print("done", event.data["reviewer"], event.data["id"], flush=True)

    records = [Record(f"r{number}", {"title": str(number)}) for number in range(count)]
    rounds = [
        Round("screening", [_reviewer(name) for name in ("ann", "ben", "cid")]),
        Round("senior", [_reviewer("dot")], disagreement("screening"), sees_votes=True),
        Round("extraction", [_reviewer("eve")], scored(["screening", "senior"], at_least=3)),
    ]
    async with Runtime(journal, sinks=[tell]) as runtime:
        report = (await runtime.run(ReviewRounds(rounds, concurrency=_AT_ONCE), records, key="review")).output
    print("report", json.dumps(report.as_json()), flush=True)


def _reviewer(name: str) -> Reviewer:
    async def look(context: Context[object], record: Record, votes: Mapping[str, Json]) -> Json:
        print("asked", name, record.id, flush=True)
        await asyncio.sleep(random.Random(f"{name}/{record.id}/s").random() / 200)
        return {"score": 1 + random.Random(f"{name}/{record.id}").randrange(5), "seen": dict(votes)}

    return Reviewer(name, look)


def _sitting(journal: Path, count: int, kill_after: int | None) -> tuple[list[list[str]], str | None]:
    """Review in a process, killed when it has said so much; return what it said, and the report, if any."""
    said: list[list[str]] = []
    report = None
    code = "import sys; from agentflow_bench.review.killed import main; main(sys.argv[1], int(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(journal), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            kind, _, rest = line.strip().partition(" ")
            if kind == "report":
                report = rest
            else:
                said.append([kind, rest])
            if len(said) == kill_after:
                process.kill()
    return said, report


def _measured(setting: Setting) -> Sequence[Figure]:
    count, wanted_kills = (30, 2) if setting.quick else (120, 8)
    chance = random.Random(9)
    with tempfile.TemporaryDirectory() as folder:
        whole, wanted = _sitting(Path(folder) / "whole.db", count, None)
        asked: Counter[str] = Counter()
        done: set[str] = set()
        kills = answered_again = 0
        report = None
        while report is None:
            after = chance.randrange(count // 2, 2 * count) if kills < wanted_kills else None
            said, report = _sitting(Path(folder) / "killed.db", count, after)
            before = frozenset(done)
            for kind, look in said:
                if kind == "asked":
                    asked[look] += 1
                    answered_again += look in before
                else:
                    done.add(look)
            kills += report is None
    looks = sum(kind == "asked" for kind, _ in whole)
    again = sum(asked.values()) - looks
    return [
        Figure("times killed", kills, bar=Bar(">=", 1)),
        Figure("looks of the whole review", looks),
        Figure("answered looks asked again", answered_again, bar=_NONE),
        Figure(
            "looks under way at a kill, asked again, each kill", again / max(1, kills), bar=Bar("<=", _MOST)
        ),
        Figure(
            "reports that differ from the one of a run that is not killed", int(report != wanted), bar=_NONE
        ),
    ]


KILLED = Measure(
    "killed-reviews", "A review killed with kill -9 again and again, gone on with each time.", _measured
)
