"""Run a test's coroutine on the virtual clock, and see that it leaves nothing behind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import ParamSpec

from agentflow.testing import VirtualClock, assert_nothing_left

P = ParamSpec("P")


def virtual(test: Callable[P, Coroutine[object, object, None]]) -> Callable[P, None]:
    """Make a test of an async function; an hour in it takes no time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with assert_nothing_left(), VirtualClock() as clock:
            clock.run(test(*args, **kwargs))

    return run
