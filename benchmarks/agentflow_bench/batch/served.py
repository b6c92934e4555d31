"""The measures' server as its parent holds it: its address, what it has seen, when it is so far."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import NamedTuple

from agentflow_bench.batch.rules import Rules

__all__ = ["Record", "Seen", "Served"]


class Seen(NamedTuple):
    """A request as the server saw it, on `time.monotonic()`; status 0: nothing whole was sent."""

    at: float
    prompt: str
    status: int
    sent: float | None


@dataclass(frozen=True, slots=True)
class Record:
    """What a server has seen: requests that came, answers sent, requests refused, most at once."""

    come: int
    sent: int
    refused: int
    open: int
    most: int
    requests: list[Seen]

    def rate(self) -> float:
        """Return the requests a minute that were taken, by the span between the first and the last."""
        taken = [seen.at for seen in self.requests if seen.status != 429]
        return (len(taken) - 1) * 60 / (taken[-1] - taken[0]) if len(taken) > 1 else 0.0

    def times(self) -> Counter[str]:
        """Return how often each prompt was asked."""
        return Counter(seen.prompt for seen in self.requests)

    def answered(self) -> Counter[str]:
        """Return how often each prompt was answered."""
        return Counter(seen.prompt for seen in self.requests if seen.status == 200)


class Served:
    """A server process for the length of a `with` block."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.root = ""

    def __enter__(self) -> Served:
        """Start it."""
        command = [sys.executable, "-m", "agentflow_bench.batch.server", json.dumps(asdict(self._rules))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.root = self._line()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    @property
    def url(self) -> str:
        """Its base address, with OpenAI's `/v1`."""
        return f"{self.root}/v1"

    def reached(self) -> None:
        """Wait until it has come as far as its rules' `tell_at`."""
        if self._line() != "reached":
            raise RuntimeError("the measures' server has ended")

    def record(self) -> Record:
        """Return what it has seen until now."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.root}/record", timeout=30) as response:
            found = json.load(response)
        return Record(**{**found, "requests": [Seen(*each) for each in found["requests"]]})

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
