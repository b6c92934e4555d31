"""prompto 0.2.1 over an experiment: its own commands, in its own environment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentflow_bench.peers.environment import python_of
from agentflow_bench.peers.program import Metered, metered, plain_environment

__all__ = ["Prompto"]

_RUN = "prompto.scripts.run_experiment:main"
_MISSING = "prompto.scripts.obtain_missing_id_jsonl:main"


@dataclass
class Prompto:
    """prompto in a folder, asking the server at `url`. Raises `Absent` when it is not here."""

    folder: Path
    url: str

    def __post_init__(self) -> None:
        """Find it."""
        self.python = python_of("prompto")

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its commands."""
        return plain_environment(self.url)

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "prompto"

    def write(self, count: int, name: str = "trial") -> Path:
        """Write an experiment of `count` prompts."""
        file = self.folder / f"{name}.jsonl"
        rows = ({"id": n, "api": "openai", "model_name": "m", "prompt": f"p{n}"} for n in range(count))
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return file

    def words(self, file: Path, queries: float, attempts: int = 5) -> list[str]:
        """Return the words of its run command."""
        self.data.mkdir(exist_ok=True)
        return ["-f", str(file), "-d", str(self.data), "-mq", f"{queries:.0f}", "-ma", str(attempts)]

    def run(self, file: Path, queries: float, attempts: int = 5, timeout: float = 400.0) -> Metered:
        """Run an experiment at `queries` a minute."""
        return self._metered(_RUN, self.words(file, queries, attempts), timeout)

    def command(self, file: Path, queries: float) -> list[str]:
        """Return the whole command, for one who starts it himself."""
        return [str(self.python.with_name("prompto_run_experiment")), *self.words(file, queries)]

    def missing(self, file: Path, completed: Path, rest: Path) -> None:
        """Write the prompts of `file` that `completed` lacks to `rest`."""
        self._metered(_MISSING, ["-i", str(file), "-o", str(completed), "-n", str(rest)], 60)

    def completed(self, name: str = "trial") -> list[Path]:
        """Return the completed files of an experiment."""
        return sorted((self.data / "output" / name).glob("*-completed-*.jsonl"))

    def right(self, name: str = "trial") -> int:
        """Return how many prompts have their one right answer."""
        lines = [json.loads(line) for path in self.completed(name) for line in path.read_text().splitlines()]
        return len({line["id"] for line in lines if line["response"] == f"answer to {line['prompt']}"})

    def _metered(self, target: str, words: Sequence[str], timeout: float) -> Metered:
        return metered(target, words, self.environment, python=self.python, cwd=self.folder, timeout=timeout)
