"""An experiment in a folder of its own, and `agentflow batch` run over it in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from agentflow_bench.batch.dialects import answer_of
from agentflow_bench.peers import Metered, metered, plain_environment

__all__ = ["COMMAND", "Experiment", "Ran", "experiment", "whole_lines"]

COMMAND = "agentflow._cli:main"
_NAME = "trial"


@dataclass(frozen=True, slots=True)
class Ran:
    """A run of the command: what it took, and its summary."""

    took: Metered
    summary: Mapping[str, object]

    def number(self, name: str) -> float:
        """Return a figure of the summary."""
        return float(str(self.summary.get(name) or 0))


@dataclass(slots=True)
class Experiment:
    """`count` prompts in a file, the data folder beside it, and the server that is asked."""

    folder: Path
    url: str
    count: int
    told: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The experiment's file."""
        return self.folder / f"{_NAME}.jsonl"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def output(self) -> Path:
        """The folder of all that comes of it."""
        return self.data / "output" / _NAME

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the command."""
        return plain_environment(self.url, **self.told)

    def write(self) -> None:
        """Write the prompts."""
        with open(self.file, "w") as out:
            for n in range(self.count):
                prompt = {"id": n, "api": "openai", "model_name": "m", "prompt": f"p{n}"}
                out.write(json.dumps(prompt) + "\n")

    def words(self, *options: object) -> list[str]:
        """Return the command's words after `agentflow`."""
        return ["batch", str(self.file), "-d", str(self.data), "--json", "-q", *map(str, options)]

    def run(self, *options: object, timeout: float = 300.0) -> Ran:
        """Run `agentflow batch` to its end."""
        words = self.words(*options)
        took = metered(COMMAND, words, self.environment, cwd=self.folder, timeout=timeout)
        return Ran(took, json.loads(took.out) if took.out else {})

    def command(self, *options: object) -> list[str]:
        """Return the whole command, for one who starts it himself."""
        code = "import sys; from agentflow._cli import main; sys.exit(main())"
        return [sys.executable, "-c", code, *self.words(*options)]

    def completed(self) -> list[Path]:
        """Return the completed files that there are."""
        return sorted(self.output.glob(f"*-completed-{_NAME}*.jsonl"))

    def lines(self) -> list[dict[str, object]]:
        """Return the whole lines of all completed files."""
        return [line for path in self.completed() for line in whole_lines(path)]

    def right(self) -> int:
        """Return how many prompts have their one right answer."""
        return len(
            {line["id"] for line in self.lines() if line["response"] == answer_of(str(line["prompt"]))}
        )


def whole_lines(path: Path) -> Iterator[dict[str, object]]:
    """Read the lines of a file that end and are JSON."""
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            try:
                yield json.loads(line)
            except ValueError:
                continue


@contextmanager
def experiment(url: str, count: int) -> Iterator[Experiment]:
    """Make an experiment of `count` prompts in a folder that goes afterwards."""
    with TemporaryDirectory(prefix="agentflow-bench-", dir=os.environ.get("TMPDIR")) as folder:
        made = Experiment(Path(folder), url, count)
        made.write()
        yield made
