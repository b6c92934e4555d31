"""kill -9 in the middle of a batch, and the same command again."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from agentflow.batch.store import Store
from agentflow.runtime.sqlite import SqliteJournal
from agentflow_bench.batch.beside import beside
from agentflow_bench.batch.dialects import answer_of
from agentflow_bench.batch.experiment import Experiment, experiment, whole_lines
from agentflow_bench.batch.rules import Rules
from agentflow_bench.batch.served import Record, Served
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.peers.prompto import Prompto

__all__ = ["KILL", "KILLS"]

_PROMPTS = 200
_AT_ONCE = 30


@dataclass(frozen=True, slots=True)
class _Killed:
    """What came of a killed batch and of the same command after it, counted in prompts."""

    flying: int
    finished: int
    lost: int
    again: int
    twice: int
    paid: int
    requests: int
    files: int
    lines: int
    right: int

    @property
    def good(self) -> bool:
        """Whether nothing was lost, and nothing finished was asked again."""
        whole = self.files == 1 and self.lines == self.right == _PROMPTS
        return whole and not self.lost and not self.again and self.twice <= self.flying


def _kill(rules: Rules, wait: float = 0.0) -> _Killed:
    with Served(rules) as server, experiment(server.url, _PROMPTS) as made:
        with subprocess.Popen(
            made.command("--concurrency", _AT_ONCE),
            env=made.environment,
            cwd=made.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            server.reached()
            time.sleep(wait)
            process.kill()
            process.wait()
        killed = time.monotonic()
        before = asyncio.run(_finished(made))
        made.run("--concurrency", _AT_ONCE)
        return _counted(made, server.record(), killed, before)


async def _finished(made: Experiment) -> dict[str, object]:
    """Return the answers that were durable at the kill, by prompt."""
    journal = SqliteJournal(made.output / "journal.db")
    await journal.open()
    try:
        found: dict[str, object] = {}
        for row in await journal.runs():
            for line, known in (await Store(journal, row.id).known(1, _PROMPTS)).items():
                if known.status == "ok":
                    found[f"p{line - 1}"] = json.loads(known.added or b"{}")["response"]
        return found
    finally:
        await journal.aclose()


def _counted(made: Experiment, record: Record, killed: float, before: dict[str, object]) -> _Killed:
    lines = made.lines()
    now = {line["prompt"]: line["response"] for line in lines}
    early = {seen.prompt for seen in record.requests if seen.at <= killed}
    late = {seen.prompt for seen in record.requests if seen.at > killed}
    sent = {seen.prompt for seen in record.requests if seen.sent is not None and seen.sent <= killed}
    return _Killed(
        flying=len(early - before.keys()),
        finished=len(before),
        lost=sum(now.get(prompt) != text for prompt, text in before.items()),
        again=len(before.keys() & late),
        twice=sum(times > 1 for times in record.times().values()),
        paid=len(sent - before.keys()),
        requests=record.come,
        files=len(made.completed()),
        lines=len(lines),
        right=made.right(),
    )


def _half_way(setting: Setting) -> Sequence[Figure]:
    found = _kill(_slow(0.3 if setting.quick else 1.5))
    figures = [
        Figure("in flight at the kill: asked, no answer durable", found.flying, bar=Bar(">=", 20)),
        Figure("finished at the kill", found.finished),
        Figure("finished answers lost", found.lost, bar=Bar("==", 0)),
        Figure("finished prompts sent again", found.again, bar=Bar("==", 0)),
        Figure("prompts sent twice", found.twice, bar=Bar("<=", found.flying)),
        Figure("answers that the server had sent, not durable at the kill", found.paid),
        Figure("requests for 200 prompts", found.requests),
        Figure("completed files", found.files, bar=Bar("==", 1)),
        Figure("their lines", found.lines, bar=Bar("==", _PROMPTS)),
        Figure("prompts right", found.right, bar=Bar("==", _PROMPTS)),
    ]
    return figures + beside(setting, "prompto", _prompto)


def _slow(seconds: float) -> Rules:
    return Rules(seconds=seconds, jitter=0.3, tell_at=_PROMPTS // 2)


def _prompto() -> Sequence[Figure]:
    """Kill prompto half way, have its own tool write what is missing, and run that."""
    with Served(_slow(1.5)) as server, TemporaryDirectory() as folder:
        prompto = Prompto(Path(folder), server.url)
        file = prompto.write(_PROMPTS)
        with subprocess.Popen(
            prompto.command(file, 6000),
            env=prompto.environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            server.reached()
            process.kill()
            process.wait()
        killed = time.monotonic()
        (part,) = prompto.completed()
        finished = {str(line["prompt"]) for line in whole_lines(part)}
        rest = Path(folder) / "rest.jsonl"
        prompto.missing(file, part, rest)
        prompto.run(rest, 6000)
        record = server.record()
        early = {seen.prompt for seen in record.requests if seen.sent is not None and seen.sent <= killed}
        files = [part, *prompto.completed("rest")]
        right = {
            str(line["prompt"])
            for path in files
            for line in whole_lines(path)
            if line["response"] == answer_of(str(line["prompt"]))
        }
    return [
        Figure("prompto: answers that the server had sent, lost", len(early - finished)),
        Figure("prompto: prompts answered twice", sum(n > 1 for n in record.answered().values())),
        Figure(
            "prompto: requests for 200 prompts", record.come, note="with its own tool for what is missing"
        ),
        Figure("prompto: unmerged completed files", len(files)),
        Figure("prompto: prompts right", len(right)),
    ]


def _random(setting: Setting) -> Sequence[Figure]:
    dice = random.Random(5)
    found = []
    for _ in range(1 if setting.quick else 10):
        of: Literal["come", "sent"] = dice.choice(("come", "sent"))
        rules = Rules(seconds=0.15, jitter=0.5, tell_at=dice.randint(1, _PROMPTS - 20), tell_of=of)
        found.append(_kill(rules, wait=dice.uniform(0, 0.05)))
    return [
        Figure("kills at random points", len(found)),
        Figure("finished answers lost", sum(each.lost for each in found), bar=Bar("==", 0)),
        Figure("finished prompts sent again", sum(each.again for each in found), bar=Bar("==", 0)),
        Figure(
            "prompts sent twice / in flight at the kills",
            sum(each.twice for each in found) / sum(each.flying for each in found),
            "x",
            Bar("<=", 1),
        ),
        Figure(
            "batches not whole and right in the end", sum(not each.good for each in found), bar=Bar("==", 0)
        ),
    ]


KILL = Measure("kill", "200 prompts, kill -9 half way, the same command again; prompto beside.", _half_way)
KILLS = Measure("kills", "The same with kills at random points.", _random)
