"""WF-7.1 to WF-7.6: games in workflow files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import in_terminal
from typer.testing import CliRunner

from agentflow._cli import game
from agentflow._cli.app import make_app
from agentflow.errors import UserError
from agentflow.runtime import Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.workflow import WorkflowError, load
from agentflow_protocols.trace import Custom

ROOT = Path(__file__).parents[2]

WORLD = """
import asyncio
from agentflow import InvalidAction

class Lamp:
    def __init__(self, ticks=40, name="lamp"):
        self.ticks, self.name, self.done_ = ticks, name, []

    def reset(self, seed=None):
        self.seed, self.done_ = seed, []
        return self.observe()

    def observe(self):
        lit = bool(self.done_) and self.done_[-1] == "on"
        return {"lit": lit, "ticks": len(self.done_), "seed": self.seed}

    def valid_actions(self):
        return ["on", "off"]

    def act(self, action):
        if action not in ("on", "off"):
            raise InvalidAction(f"{action!r} is no switch")
        self.done_.append(action)
        return self.observe()

    @property
    def done(self):
        return len(self.done_) >= self.ticks

    def snapshot(self):
        return list(self.done_)

    def restore(self, snapshot):
        self.done_ = list(snapshot)

class Nothing:
    pass

number = 3

def fast(now):
    if now.wish is not None:
        return now.wish
    wanted = now.slots.get("guideline")
    return wanted if wanted in ("on", "off") else "off"

async def think(context, brief):
    await asyncio.sleep(1)
    return "on"

async def rules(context, brief):
    return [{"when": "state['ticks'] % 2 == 0", "do": "on"}]

async def nonsense(context, brief):
    return [{"when": "open('/etc/passwd')", "do": "on"}]

def allowed(action):
    return None if action in ("on", "off") else "no switch"

def state(seen):
    return seen

def events(now):
    return ["dusk"] if now.tick == 10 else []

def picture(world):
    return f"{world.name} {'*' if world.observe()['lit'] else 'o'}"
"""

HEAD = """agentflow: 1
inputs:
  seed: {type: integer, default: 3}
dual:
  environment: world:Lamp
  fast: world:fast
  default: "off"
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "world.py").write_text(WORLD)
    return tmp_path


def play(folder: Path, text: str, **inputs: object) -> dict[str, object]:
    """Play the game of a file on the virtual clock and return its output."""
    file = folder / "game.yaml"
    file.write_text(text)
    workflow = load(file, inputs=inputs)

    async def work() -> object:
        async with Runtime() as runtime:
            return (await runtime.run(workflow)).output

    return run_in(lambda: new_loop("virtual"), work())  # type: ignore[return-value]


def faults(folder: Path, text: str) -> str:
    (folder / "game.yaml").write_text(text)
    with pytest.raises(WorkflowError) as caught:
        load(folder / "game.yaml")
    return "\n".join(str(problem) for problem in caught.value.problems)


def test_a_game_is_played_and_reported(here: Path) -> None:
    """WF-7.1, WF-7.3, WF-7.6."""
    report = play(
        here,
        HEAD
        + """  with: {ticks: 20}
  ticks: 100
  seed: "{{ inputs.seed }}"
  state: world:state
  slow:
    sage: {function: world:think, into: guideline, every: 50}
""",
        seed=8,
    )
    assert (report["ticks"], report["done"], report["missed"]) == (20, True, 0)
    assert report["seen"] == {"lit": True, "ticks": 20, "seed": 8}
    assert report["staleness"] == {"4": 1}
    assert json.loads(json.dumps(report)) == report


def test_an_agent_thinks_and_events_start_it(here: Path) -> None:
    """WF-7.3: a prompt sees the brief; WF-7.2: what is of another type changes nothing."""
    (here / "script.yaml").write_text(
        '- {when: "dusk at 10, False, 3", text: "on"}\n- {when: "number", text: "many"}\n'
    )
    text = """agentflow: 1
inputs: {seed: {type: integer, default: 3}}
endpoints: {e: {model: "scripted:script.yaml"}}
agents: {sage: {endpoint: e}}
dual:
  environment: world:Lamp
  fast: world:fast
  default: "off"
  events: world:events
  state: world:state
  slots: {guideline: text, count: {type: number, ttl: 5}}
  slow:
    sage:
      agent: sage
      into: guideline
      on: dusk
      prompt: "{{ brief.why[3:] }} at {{ brief.tick }}, {{ brief.seen.lit }}, {{ inputs.seed }}"
    clerk: {agent: sage, into: count, every: 20, prompt: "number"}
"""
    report = play(here, text)
    slow = report["slow"]
    assert slow["sage"]["applied"] == 1  # type: ignore[index]
    assert slow["clerk"]["invalid"] == 2  # type: ignore[index]
    assert report["seen"]["lit"]  # type: ignore[index]


def test_late_output_is_judged(here: Path) -> None:
    """WF-7.4."""
    late = HEAD + "  slow:\n    sage: {function: world:think, into: guideline, every: 20, max_age: 2}\n"
    assert play(here, late)["slow"]["sage"]["dropped"] == 2  # type: ignore[index]
    short = HEAD + "  slow:\n    sage: {function: world:think, into: guideline, every: 20, timeout: 500ms}\n"
    assert play(here, short)["slow"]["sage"]["timed_out"] == 2  # type: ignore[index]
    moved = (
        HEAD
        + "  stale: {keys: world:state, changed: rebase}\n"
        + "  slow: {sage: {function: world:think, into: guideline, every: 20}}\n"
    )
    assert play(here, moved)["slow"]["sage"]["rebased"] >= 1  # type: ignore[index]


def test_policies_act_in_a_sandbox(here: Path) -> None:
    """WF-7.5."""
    pytest.importorskip("pydantic_monty")
    policy = (
        HEAD
        + "  state: world:state\n  policy: {allowed: world:allowed}\n"
        + "  slow: {sage: {function: world:%s, into: policy, every: 1000}}\n"
    )
    report = play(here, policy % "rules")
    assert report["by"]["policy"] >= 15  # type: ignore[index]
    report = play(here, policy % "nonsense")
    assert report["slow"]["sage"]["invalid"] == 1  # type: ignore[index]
    assert report["by"] == {"fast": 40, "policy": 0, "default": 0}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HEAD.replace("world:fast", "world:slow"), r"game\.yaml:6:9: world.py defines no `slow`"),
        (HEAD.replace("world:Lamp", "nowhere:Lamp"), r":5:16: no file nowhere.py"),
        (HEAD + "  deadline: 1s\n", "the deadline is at most a tick"),
        (HEAD + "  slow: {sage: {function: world:think}}\n", "nothing starts it"),
        (HEAD + "  slow: {sage: {every: 2}}\n", "exactly one of agent, function"),
        (HEAD + "  slow: {sage: {agent: sag, prompt: x, into: belief, every: 2}}\n", "unknown agent `sag`"),
        (HEAD + "  slow: {sage: {function: world:think, into: belif, every: 2}}\n", "no slot `belif`"),
        (HEAD + "  slow: {sage: {function: world:think, into: policy, every: 2}}\n", "no slot `policy`"),
        (HEAD + "  policy: {allowed: world:allowed}\n", "`policy` needs `state`"),
        (HEAD + '  seed: "{{ inputs.sed }}"\n', "sed"),
        (HEAD + '  slow: {s: {agent: a, prompt: "{{ brief.sen }}", into: belief, every: 2}}\n', "brief.sen"),
        (HEAD + "  slots: {guideline: texts}\n", "text"),
        (HEAD + "batch: {file: x.jsonl}\n", "one runnable section"),
    ],
)
def test_what_is_wrong_is_told_at_load(here: Path, text: str, fault: str) -> None:
    """WF-7.1 to WF-7.5."""
    import re

    assert re.search(fault, faults(here, text)), faults(here, text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HEAD.replace("world:Lamp", "world:Nothing"), "has no `reset`: it is no Environment"),
        (HEAD.replace("world:Lamp", "world:number"), "is no function"),
        (HEAD + "  draw: world:number\n", r"dual.draw: `world:number` is no function"),
        (HEAD.replace("world:fast", "world:think"), "which never waits"),
        (HEAD + "  with: {tick: 3}\n", "can't be called with `with`"),
        (HEAD + "  seed: \"{{ 'x' }}\"\n", "a seed is a whole number"),
        (
            HEAD.replace('"off"', "dim").replace("world:fast", "world:allowed"),
            "the default action is refused",
        ),
    ],
)
def test_what_is_wrong_is_told_when_it_runs(here: Path, text: str, fault: str) -> None:
    """WF-7.1."""
    with pytest.raises(UserError, match=fault):
        play(here, text)


def test_bench_suites_are_told_where_they_run(here: Path) -> None:
    """WF-2.4."""
    assert "agentflow bench FILE.yaml" in faults(here, "agentflow: 1\nbench: robotouille\n")


def test_the_example_gains_by_its_slow_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scores = {}
    for plan in ("true", "false"):
        words = ["run", str(ROOT / "examples/kitchen_live.yaml"), "--virtual-time", "--no-journal", "--json"]
        result = CliRunner().invoke(make_app(), [*words, "-i", f"plan={plan}"])
        assert result.exit_code == 0, result.output
        scores[plan] = json.loads(result.stdout)["output"]["seen"]["score"]
    assert scores == {"true": 115, "false": 97}


def test_a_game_is_drawn_in_a_terminal_and_told_in_lines_elsewhere(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "agentflow",
        "run",
        str(ROOT / "examples/kitchen_live.yaml"),
        "--no-journal",
    ]
    code = "import sys; from agentflow._cli import main; main()"
    command[1:3] = ["-c", code]
    text, _ = in_terminal([*command, "--speed", "60"], tmp_path)
    assert "tick 240 of 240" in text
    assert "☻" in text
    assert "planner thinks for" in text
    plain = subprocess.run([*command, "--virtual-time"], cwd=tmp_path, capture_output=True, text=True)
    assert "tick 40 of 240" in plain.stderr
    assert "planner: what is of tick 0: apply" in plain.stderr
    assert plain.stderr.count("\n") < 80


@pytest.mark.parametrize(("caught", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_game_that_is_stopped_names_no_way_to_go_on(
    here: Path, caught: signal.Signals, status: int
) -> None:
    (here / "game.yaml").write_text(HEAD + "  ticks: 1000\n  with: {ticks: 1000}\n")
    code = "import sys; from agentflow._cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "run", "game.yaml"], cwd=here, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        told = ""
        while "tick 0" not in told:
            told = process.stderr.readline()
        process.send_signal(caught)
        told = process.stderr.read()
    assert process.returncode == status
    assert "cancelled" in told
    assert "go on with" not in told


def test_a_board_takes_what_is_no_game_as_nothing() -> None:
    board = game.GameBoard()
    for data in (None, 3, {"tick": "x"}, {}):
        board.take(Custom("tick", data))  # type: ignore[arg-type]
        assert game.game_line(Custom("tick", data)) is None  # type: ignore[arg-type]
    assert not board
    board.take(
        Custom(
            "tick", {"tick": 0, "of": 2, "by": "fast", "thinking": ["a"], "picture": "x\x1b[2J\ny"}, time=1.0
        )
    )
    lines = ["".join(text for text, _ in line) for line in board.lines(3.5, 10)]
    assert lines == ["x?[2J", "y", "tick 1 of 2  fast 1", "  a thinks for 2.5 s"]
    assert len(board.lines(3.5, 3)) == 3
