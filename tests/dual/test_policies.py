"""Games in which a slow model writes the policy: it acts, and whatever it is, the game goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable

import pytest

from agentflow import Context, Runtime
from agentflow.dual import (
    Brief,
    DualProcess,
    DualReport,
    GuardedPolicy,
    MontySandbox,
    Now,
    Slow,
    Update,
    every,
)
from agentflow.runtime.loop import new_loop, run_in
from agentflow.testing import assert_nothing_left
from agentflow_protocols.chat import Json

MACROS = ("left", "right", "on")


class Road:
    """A road of 60 ticks."""

    def __init__(self) -> None:
        self.driven: list[str] = []

    def reset(self, seed: int | None = None) -> int:
        self.driven = []
        return 0

    def observe(self) -> int:
        return len(self.driven)

    def valid_actions(self) -> list[str]:
        return list(MACROS)

    def act(self, action: str) -> int:
        self.driven.append(action)
        return len(self.driven)

    @property
    def done(self) -> bool:
        return len(self.driven) >= 60

    def snapshot(self) -> list[str]:
        return list(self.driven)

    def restore(self, snapshot: list[str]) -> None:
        self.driven = list(snapshot)


def allowed(action: Json) -> str | None:
    return None if action in MACROS else f"no macro {action!r}"


def fast(now: Now[int]) -> str:
    """Do as the policy wishes, else go straight on."""
    return str(now.wish or "on")


def play(replies: Iterable[object], *, killed_at: int = -1) -> tuple[list[str], DualReport, GuardedPolicy]:
    """Play with a model that proposes a reply every 10 ticks and takes a second, 4 ticks, for each."""
    road, left = Road(), list(replies)

    async def think(context: Context[object], brief: Brief[object, object]) -> Update:
        await asyncio.sleep(1.0)
        return Update({}, policy=left.pop(0) if left else None)

    async def game() -> tuple[DualReport, GuardedPolicy]:
        async with MontySandbox() as sandbox:
            async with GuardedPolicy(sandbox, allowed=allowed, seconds=0.1) as policy:

                def state(tick: int) -> Json:
                    if tick == killed_at:
                        os.kill(sandbox.pids[0], signal.SIGKILL)
                    return {"tick": tick}

                slow = Slow("driver", think, [every(10)])
                dual = DualProcess(road, fast=fast, default="on", slow=[slow], policy=policy, state=state)
                async with Runtime() as runtime:
                    return (await runtime.run(dual)).output, policy

    with assert_nothing_left():
        report, policy = run_in(lambda: new_loop("virtual"), game())
    return road.driven, report, policy


def test_what_a_model_writes_drives_until_it_writes_anew() -> None:
    rules = '```json\n[{"when": "tick % 2 == 0", "do": "left"}]\n```'
    driven, report, policy = play([rules, "def policy(state): return 'right'", "[]"])
    assert (report.ticks, report.missed) == (60, 0)
    first = driven.index("left")
    turn = driven.index("right")
    assert set(driven[:first]) == {"on"}
    assert set(driven[first:turn]) == {"left", "on"}
    cleared = len(driven) - driven[::-1].index("right")
    assert driven[turn:cleared] == ["right"] * (cleared - turn)
    assert set(driven[cleared:]) == {"on"}
    assert [one.state for one in policy.history] == ["cleared"] * 3
    assert report.by["policy"] == driven.count("left") + driven.count("right")


@pytest.mark.parametrize(
    "bad",
    [
        "I would turn left at the next corner.",
        "def policy(state):\n    while True: pass",
        "def policy(state):\n    found = []\n    while True: found.append('x' * 1000)",
        "import subprocess\ndef policy(state): return 'left'",
        "def policy(state): return 'fly'",
        '[{"when": "True", "do": "fly"}]',
        "def policy(state): return policy",
    ],
    ids=["prose", "loop", "growth", "import", "unknown", "unknown rule", "no JSON"],
)
def test_what_is_bad_is_told_and_the_last_good_policy_drives_on(bad: str) -> None:
    driven, report, policy = play(['[{"when": "True", "do": "left"}]', bad])
    assert (report.ticks, report.missed, report.strikes) == (60, 0, 0)
    assert driven[driven.index("left") :] == ["left"] * (60 - driven.index("left"))
    assert report.slow["driver"].invalid == 1
    assert policy.history[-1].version == 1


def test_a_policy_that_raises_late_is_struck_out_and_the_one_before_drives_on() -> None:
    late = "def policy(state):\n    if state['tick'] >= 40: raise KeyError('corner')\n    return 'right'"
    driven, report, _ = play(['[{"when": "True", "do": "left"}]', late])
    assert driven[39:46] == ["right", "on", "on", "on", "left", "left", "left"]
    assert (report.strikes, report.missed) == (3, 0)
    assert "tick 40: raised: line 2: KeyError: corner" in report.faults[0]


def test_a_worker_killed_in_mid_game_costs_one_default_action() -> None:
    driven, report, _ = play(['[{"when": "True", "do": "left"}]'], killed_at=30)
    begun = driven.index("left")
    assert driven[begun:30] == ["left"] * (30 - begun)
    assert driven[30:] == ["on"] + ["left"] * 29
    assert (report.strikes, report.missed) == (1, 0)
