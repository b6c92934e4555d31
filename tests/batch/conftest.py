"""An experiment in a data folder, and the command that runs it against a loopback server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentflow._cli import run_command
from agentflow.testing import LoopbackServer
from agentflow_protocols.chat import Json

Row = Mapping[str, Json]


@dataclass(slots=True)
class Lab:
    """A folder with experiments, and what the command says of them."""

    folder: Path
    read: Callable[[], tuple[str, str]]
    said: str = ""

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def write(self, *rows: Row | str, name: str = "quiz.jsonl") -> Path:
        """Write an experiment."""
        path = self.folder / name
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def run(self, *args: object) -> tuple[int, dict[str, Json]]:
        """Run `agentflow batch …` with `--json`; return the exit status and the summary."""
        status = run_command(["batch", *map(str, args), "-d", str(self.data), "--json", "-q"])
        out, self.said = self.read()
        return status, json.loads(out) if out else {}

    def lines(self, kind: str = "completed", name: str = "quiz") -> list[dict[str, Json]]:
        """Return the lines of the one output file of that kind."""
        (path,) = (self.data / "output" / name).glob(f"*-{kind}-{name}.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    """A folder of its own, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def read() -> tuple[str, str]:
        caught = capsys.readouterr()
        return caught.out, caught.err

    return Lab(tmp_path, read)


def answer(body: Mapping[str, Json]) -> str:
    """Return the answer of the server: what it was last told, in capitals."""
    messages = body["messages"]
    assert isinstance(messages, list)
    last = messages[-1]
    assert isinstance(last, dict)
    return str(last["content"]).upper()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    """A server to which `api: openai` points."""
    with LoopbackServer(answer) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("OPENAI_API_KEY", "test-key")
        yield running


def asks(number: int, **more: Json) -> dict[str, Json]:
    """Return a record that asks a question of its own."""
    return {"id": number, "api": "openai", "model_name": "loopback", "prompt": f"word {number}", **more}


AGENTFLOW = (sys.executable, "-c", "from agentflow._cli import main; main()")
