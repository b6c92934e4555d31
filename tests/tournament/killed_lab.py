"""Research in a process that is killed at its Nth call of a model: `python killed_lab.py JOURNAL N…`.

For each N it starts, is killed, and goes on; a line of JSON for each says what came of it. N is 0 for a run
that nobody kills. Processes are forked, so that each costs no import.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from scripted_lab import ScriptedLab

from agentflow import Runtime
from agentflow.testing import FakeEndpoint, VirtualClock
from agentflow.tournament.scientist import CoScientist
from agentflow_protocols.chat import ChatRequest


def research(journal: Path, asked: Path, kill: int) -> str:
    """Research, and return the report; put down each question that was answered."""
    lab = ScriptedLab()

    def answer(request: ChatRequest) -> str:
        text = lab._answer(request)
        with asked.open("a") as file:
            file.write(json.dumps("\n".join(message.text for message in request.messages)) + "\n")
        if sum(lab.asked.values()) == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return text

    scientist = CoScientist(
        "Find leeks.",
        model=FakeEndpoint(answer, delay=1.0),
        k=2,
        concurrency=1,
        most_hypotheses=8,
        max_matches=40,
        formats=["a note"],
    )

    async def main() -> str:
        async with Runtime(journal) as runtime:
            return (await runtime.run(scientist, key="leeks")).output.as_markdown()

    with VirtualClock() as clock:
        return clock.run(main())


def forked(journal: Path, kill: int) -> int:
    """Research in a process of its own; return how that ended."""
    child = os.fork()
    if child == 0:
        try:
            report = research(journal, journal.with_suffix(".asked"), kill)
            journal.with_suffix(".md").write_text(report)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def main(folder: Path, kills: list[int]) -> None:
    """Print a line for each kill."""
    for kill in kills:
        journal = folder / f"killed-{kill}.db"
        ended = forked(journal, kill)
        if kill:
            assert ended == signal.SIGKILL, ended
            forked(journal, 0)
        asked = [json.loads(line) for line in journal.with_suffix(".asked").read_text().splitlines()]
        print(json.dumps({"asked": asked, "report": journal.with_suffix(".md").read_text()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(number) for number in sys.argv[2:]])
