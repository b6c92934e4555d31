"""When a failed request is sent again: tenacity's policies as values, one layer, ours."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentflow.endpoints.faults import is_transient
from agentflow.errors import EndpointError

if TYPE_CHECKING:
    from tenacity.retry import RetryBaseT
    from tenacity.stop import StopBaseT
    from tenacity.wait import WaitBaseT

__all__ = ["Attempts", "Retry"]


@dataclass(slots=True, frozen=True)
class Retry:
    """A retry policy, made of tenacity's values; None takes the default of each.

    `stop`: five attempts. `wait`: random, exponential, 0.5 s doubled up to 30 s; a
    Retry-After that the server named replaces it, lengthened by up to a quarter so
    that waiting clients do not come back as one herd. `retry`: errors that may pass.
    `stop_after_delay` counts wall time: on virtual time use attempts.
    """

    stop: StopBaseT | None = None
    wait: WaitBaseT | None = None
    retry: RetryBaseT | None = None

    @staticmethod
    def attempts(number: int) -> Retry:
        """Return the default policy with `number` attempts in all."""
        import tenacity

        return Retry(stop=tenacity.stop_after_attempt(number))


class Attempts:
    """The attempts of one request under a `Retry` policy."""

    def __init__(self, policy: Retry) -> None:
        import tenacity

        self._stop = policy.stop or tenacity.stop_after_attempt(5)
        self._wait = policy.wait or tenacity.wait_random_exponential(multiplier=0.5, max=30)
        self._retry = policy.retry or tenacity.retry_if_exception(is_transient)
        self._state = tenacity.RetryCallState(tenacity.AsyncRetrying(), None, (), {})

    @property
    def number(self) -> int:
        """The number of the attempt that is under way, from 1."""
        return self._state.attempt_number

    def wait_after(self, error: EndpointError) -> float | None:
        """Return the seconds to wait before the next attempt, or None when `error` is final."""
        state = self._state
        state.set_exception((type(error), error, error.__traceback__))
        if not self._retry(state) or self._stop(state):
            return None
        wait = float(self._wait(state))
        if error.retry_after is not None:
            wait = error.retry_after + random.uniform(0.0, max(0.25 * error.retry_after, 0.1))
        state.idle_for += wait
        state.prepare_for_next_attempt()
        return wait
