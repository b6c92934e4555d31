"""GuardedPolicy: what a model proposes acts in a game, and can't spoil it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from agentflow.dual import GuardedPolicy, MontySandbox, PolicyFault, Rule, RulePolicy, TrustedPython
from agentflow.runtime.loop import new_loop, run_in
from agentflow.testing import assert_nothing_left
from agentflow_protocols.chat import Json

pytest.importorskip("pydantic_monty")

MACROS = ("cook", "serve", "wait")
IDLE: Json = {"pot": "empty", "orders": ["soup"]}
READY: Json = {"pot": "ready", "orders": ["soup"]}


def allowed(action: Json) -> str | None:
    return None if action in MACROS else f"no macro {action!r}: {', '.join(MACROS)}"


@pytest.fixture
async def sandbox() -> AsyncIterator[MontySandbox]:
    async with MontySandbox() as made:
        yield made


def guarded(sandbox: MontySandbox, **options: float) -> GuardedPolicy:
    seconds = options.get("seconds", 0.2)
    return GuardedPolicy(sandbox, allowed=allowed, states=[IDLE, READY], seconds=seconds)


async def test_a_model_writes_rules_and_they_act_from_the_next_tick(sandbox: MontySandbox) -> None:
    policy = guarded(sandbox)
    assert (await policy.act(IDLE, 0)).action is None  # nobody has proposed: the fast function decides

    reply = """Soup first.
```json
[{"when": "state['pot'] == 'ready'", "do": "serve"},
 {"when": "state['pot'] == 'empty'", "do": "cook", "once": true},
 {"when": "tick > 2", "do": "wait", "expires": 5}]
```"""
    await policy.propose(reply, tick=0)
    chosen = [(await policy.act(state, tick)).action for tick, state in enumerate([READY, IDLE, IDLE, IDLE])]
    assert chosen == ["serve", "cook", None, "wait"]
    assert (await policy.act(IDLE, 5)).action is None
    assert (policy.version, policy.strikes) == (1, 0)

    await policy.propose("[]", tick=5)  # an explicit empty list clears
    assert await policy.act(READY, 6) == (await policy.act(READY, 7))
    assert policy.version is None
    assert [one.state for one in policy.history] == ["cleared", "cleared"]


async def test_python_acts_too_and_what_it_remembers_begins_when_it_acts(sandbox: MontySandbox) -> None:
    policy = guarded(sandbox)
    counts = """calls = []
def policy(state):
    calls.append(1)
    return "cook" if len(calls) == 1 else "wait"
"""
    await policy.propose(f"```python\n{counts}```", tick=0)
    assert [(await policy.act(IDLE, tick)).action for tick in (1, 2)] == ["cook", "wait"]


@pytest.mark.parametrize(
    ("proposal", "told"),
    [
        ("I would cook now.", "syntax: line 1: no JSON"),
        ('[{"when": "state[", "do": "cook"}]', "syntax: rule 1: `when`"),
        ('[{"wenn": "True", "do": "cook"}]', "rule 1"),
        ('[{"when": "True", "do": "dance"}]', "result: rule 1: no macro 'dance'"),
        ('[{"when": "state[\'oven\']", "do": "cook"}]', "rule 1, `state['oven']`: KeyError"),
        ('[{"when": "True", "when": "False", "do": "cook"}]', "the key `when` stands twice"),
        ("def policy(state:", "syntax: line"),
        (
            "def policy(state):\n    if state['pot'] == 'burnt': return cok(1)\n    return 'cook'",
            "line 2: name 'cok'",
        ),
        (
            '[{"when": "True", "do": "cook"}, {"when": "cok(state)", "do": "cook"}]',
            "rule 2: name 'cok' is not",
        ),
        ("def policy(state): return 'dance'", "result: no macro 'dance'"),
        ("def policy(state): return open", "result: TypeError"),
        ("import socket\ndef policy(state): return 'cook'", "forbidden: line 1: there is no module 'socket'"),
        ("def policy(state):\n    while True: pass", "time: no answer within 0.05 s"),
        ("def act(state): return 'cook'", "syntax: the source defines no policy(state)"),
        ({"rules": "cook"}, "syntax: rules are a list"),
    ],
)
async def test_what_is_not_sound_never_acts(sandbox: MontySandbox, proposal: object, told: str) -> None:
    policy = guarded(sandbox, seconds=0.05)
    await policy.propose([Rule(when="True", do="wait")], tick=1)
    with pytest.raises(PolicyFault) as caught:
        await policy.propose(proposal, tick=2)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (await policy.act(IDLE, 3)).action == "wait"
    assert policy.version == 1


async def test_three_strikes_and_the_last_good_policy_acts_again(sandbox: MontySandbox) -> None:
    policy = guarded(sandbox)
    rules = [Rule(when="tick == 0", do=None), Rule(when="True", do="wait")]  # None: nothing is said
    await policy.propose(rules, tick=0)
    assert (await policy.act(IDLE, 1)).by == "policy"
    await policy.propose("def policy(state): return 'serve' if state['pot'] else 1 / 0", tick=1)
    broken: Json = {"pot": "", "orders": []}
    for tick in (2, 3, 4):
        chosen = await policy.act(broken, tick)
        assert (chosen.action, chosen.by) == (None, "default")
        assert chosen.fault is not None
        assert chosen.fault.kind == "raised"
    assert (await policy.act(broken, 5)).action == "wait"
    assert [(one.state, one.strikes) for one in policy.history] == [("acting", 0), ("struck out", 3)]


async def test_a_strike_is_taken_back_after_a_hundred_clean_calls() -> None:
    policy = GuardedPolicy(TrustedPython(), allowed=allowed)
    await policy.propose("def policy(state): return 'cook' if state else 1 / 0", tick=0)
    await policy.act(0, 1)
    await policy.act(0, 2)
    for tick in range(100):
        await policy.act(1, tick)
    assert policy.strikes == 1


async def test_what_is_older_never_takes_the_place_of_what_is_newer(sandbox: MontySandbox) -> None:
    policy = guarded(sandbox)
    await policy.propose([Rule(when="True", do="cook")], tick=20)
    with pytest.raises(PolicyFault) as caught:
        await policy.propose([Rule(when="True", do="wait")], tick=10)
    assert caught.value.kind == "stale"
    assert (await policy.act(IDLE, 21)).action == "cook"


async def test_a_killed_worker_costs_one_default_action(sandbox: MontySandbox) -> None:
    policy = guarded(sandbox, seconds=0.4)
    await policy.propose(
        "def policy(state):\n    while state['pot'] == 'busy': pass\n    return 'cook'", tick=0
    )
    assert (await policy.act(IDLE, 1)).action == "cook"
    (pid,) = sandbox.pids
    call = asyncio.ensure_future(policy.act({"pot": "busy"}, 2))
    asyncio.get_running_loop().call_later(0.05, os.kill, pid, signal.SIGKILL)
    chosen = await call
    assert chosen.fault is not None
    assert (chosen.action, chosen.fault.kind) == (None, "worker")
    assert (await policy.act(IDLE, 3)).action == "cook"
    assert sandbox.pids != [pid]


async def test_an_action_that_allowed_chokes_on_is_refused() -> None:
    policy = GuardedPolicy(TrustedPython(), allowed=lambda action: None if len(action) < 5 else "long")  # type: ignore[arg-type]
    with pytest.raises(PolicyFault, match="not allowed"):
        await policy.propose([Rule(when="True", do=5)], tick=0)


def test_on_the_virtual_clock_a_call_takes_no_time() -> None:
    async def play() -> float:
        async with MontySandbox() as sandbox, guarded(sandbox) as policy:
            await policy.propose(RulePolicy([Rule(when="tick % 2", do="cook")]), tick=0)
            loop = asyncio.get_running_loop()
            began = loop.time()
            chosen = []
            for tick in range(20):
                chosen.append((await policy.act(IDLE, tick)).action)
                await asyncio.sleep(0.25)
            assert chosen == [None, "cook"] * 10
            return loop.time() - began

    with assert_nothing_left():
        assert run_in(lambda: new_loop("virtual"), play()) == 5.0
