"""A trace a case: every event of its run, a line each, appended as it comes."""

from __future__ import annotations

from pathlib import Path

from agentflow_bench.trials.trial import slug
from agentflow_protocols.trace import Event, RunFinished, event_to_line

__all__ = ["Traces"]

_LINES = 64  # of a case, that wait to be written together


class Traces:
    """A folder of traces; `take` is a sink of the Runtime. After a crash a case's trace goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fault: str | None = None
        self._names: dict[str, str] = {}
        self._lines: dict[str, list[str]] = {}

    def begin(self, run: str, case: str) -> None:
        """Say which case a run tries. Runs that nobody names (known from the journal) leave no trace."""
        self._names[run] = case

    def take(self, event: Event) -> None:
        """Take an event in."""
        root = event.run.partition("/")[0]
        lines = self._lines.setdefault(root, [])
        lines.append(event_to_line(event))
        ended = isinstance(event, RunFinished) and event.run == root
        if ended or len(lines) >= _LINES:
            self._write(root, lines)
            lines.clear()
        if ended:
            del self._lines[root]
            self._names.pop(root, None)

    def close(self) -> None:
        """Write what is left."""
        for root, lines in self._lines.items():
            self._write(root, lines)
        self._lines.clear()

    def _write(self, root: str, lines: list[str]) -> None:
        name = self._names.get(root)
        if name is None or not lines or self.fault is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self.folder / f"{slug(name)}.jsonl", "a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
        except OSError as error:  # a full disk ends the traces, never the trials
            self.fault = f"{self.folder}: {error.strerror}"
