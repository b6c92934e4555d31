"""A review that is killed with `kill -9`, wherever it is, goes on: what was answered is not asked again."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORDS, AT_ONCE, REVIEWERS = 40, 6, 2

REVIEW = """
import asyncio, json, random, sys
from agentflow import Agent, Runtime
from agentflow.builtin.scripted import ScriptedModel, ScriptedReply
from agentflow.endpoints import Endpoint, Price
from agentflow.review import Record, Reviewer, ReviewRounds, Round, disagreement, scored, title_abstract

def score(who, text):
    return 1 + random.Random(who + text).randrange(5)

def asked(who, text):
    # Whoever kills this process reads it: what is told here was asked.
    sys.stdout.write(f"{who} {text}\\n")
    sys.stdout.flush()

def model(who):
    def reply(request):
        title = request.messages[-1].text.splitlines()[0].removeprefix("title: ")
        asked(who, title)
        delay = random.Random(title).random() / 500
        return ScriptedReply(json.dumps({"reasoning": "x", "score": score(who, title)}), delay=delay)
    return Endpoint(ScriptedModel(reply), price=Price(1.0, 1.0))

async def last(context, record, votes):
    asked("last", record.title)
    await asyncio.sleep(0)
    return {"score": score("last", record.title), "seen": votes}

def screen(who):
    return title_abstract(who, model(who), include="It is good.")

review = ReviewRounds(
    [
        Round("first", [screen("ann"), screen("ben")]),
        Round("senior", [screen("cid")], when=disagreement("first"), sees_votes=True),
        Round("last", [Reviewer("last", last)], when=scored("first", at_least=3), sees_votes=True),
    ],
    concurrency=AT_ONCE,
)
records = [Record(f"{n}/ü", {"title": f"Record-{n}"}) for n in range(COUNT)]

async def main():
    async with Runtime(journal=sys.argv[1]) as runtime:
        report = (await runtime.run(review, records, key="review")).output
    told = {name: [one.looks, one.failed, one.tokens, one.requests] for name, one in report.spent.items()}
    cost = sum(each.cost for each in report.spent.values())
    print("report", json.dumps([report.as_json()["rows"], told, round(cost, 9)]))

asyncio.run(main())
"""


def start(folder: Path, journal: str) -> subprocess.Popen[str]:
    script = folder / "review.py"
    script.write_text(REVIEW.replace("COUNT", str(RECORDS)).replace("AT_ONCE", str(AT_ONCE)))
    path = os.pathsep.join([str(ROOT), str(ROOT / "protocols")])
    return subprocess.Popen(
        [sys.executable, str(script), str(folder / journal)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def sitting(folder: Path, journal: str, kill_after: int | None) -> tuple[list[str], str | None]:
    """Run until so many looks were asked for, and kill; return what was asked, and the report, if any."""
    asked: list[str] = []
    report = None
    with start(folder, journal) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("report "):
                report = line.removeprefix("report ")
            else:
                asked.append(line.strip())
            if len(asked) == kill_after:
                process.kill()
    return asked, report


def test_a_review_that_is_killed_anywhere_goes_on(tmp_path: Path) -> None:
    whole, wanted = sitting(tmp_path, "whole.db", None)
    assert wanted is not None
    assert max(Counter(whole).values()) == 1
    chance = random.Random(7)
    asked: Counter[str] = Counter()
    kills, report = 0, None
    while report is None:
        told, report = sitting(tmp_path, "killed.db", chance.randrange(15, 50) if kills < 4 else None)
        asked.update(told)
        kills += report is None
    assert kills >= 3
    assert json.loads(report) == json.loads(wanted)  # votes, looks, tokens and cost, as if never killed
    assert set(asked) == set(whole)
    again = sum(asked.values()) - len(whole)
    assert again <= kills * AT_ONCE * REVIEWERS  # those alone that were under way
