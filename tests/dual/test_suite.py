"""The suite of escapes and bombs: the sandbox holds, and the suite finds one that does not."""

from __future__ import annotations

import pytest

from agentflow.dual import MontySandbox, PolicyFault, TrustedPython
from agentflow.errors import UserError
from agentflow.runtime.loop import new_loop, run_in
from agentflow.testing import assert_nothing_left
from agentflow.testing.sandbox_suite import BOMBS, ESCAPES, try_bombs, try_escapes

pytest.importorskip("pydantic_monty")


def test_there_are_at_least_24_escapes_and_10_bombs() -> None:
    assert len({case.name for case in ESCAPES}) == len(ESCAPES) >= 24
    assert len({case.name for case in BOMBS}) == len(BOMBS) >= 10


async def test_nothing_gets_out_of_monty() -> None:
    async with assert_nothing_left(), MontySandbox(check_names=False) as sandbox:  # all of them run
        report = await try_escapes(sandbox)
    assert report.escaped == []
    assert len(report.outcomes) == len(ESCAPES)


async def test_every_bomb_ends_in_time_while_the_loop_ticks() -> None:
    made = MontySandbox(check_names=False, request_timeout=0.3)
    async with assert_nothing_left(), made as sandbox:
        report = await try_bombs(sandbox, seconds=0.05)
    assert report.uncontained == []
    assert all(one.fault is not None for one in report.outcomes)
    assert report.slowest < 1.0  # one that loops while it is loaded ends after 0.24 s of its own time
    assert report.grown_mib < 100
    # The bar is 20 ms, for `agentflow bench dual`; tests share their machine.
    assert report.late_ms < 100


async def test_the_suite_finds_that_plain_python_is_no_sandbox() -> None:
    """All get out but the one that changes the state, which even `TrustedPython` copies."""
    report = await try_escapes(TrustedPython())
    assert report.escaped == [case.name for case in ESCAPES if case.name != "change_the_state"]


async def test_what_a_fault_says_is_looked_at_too() -> None:
    class Talker(TrustedPython):
        async def load(self, source: str):  # type: ignore[no-untyped-def, override]
            names: dict[str, object] = {}
            try:
                exec("import os\nfound = os.environ['AGENTFLOW_SANDBOX_BAIT']", names)
            finally:
                raise PolicyFault("raised", str(names["found"]))

    assert len((await try_escapes(Talker())).escaped) == len(ESCAPES)


def test_bombs_need_the_wall_clock() -> None:
    async def run() -> None:
        with pytest.raises(UserError, match="wall clock"):
            await try_bombs(TrustedPython())

    run_in(lambda: new_loop("virtual"), run())
