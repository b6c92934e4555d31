"""How often a step is run: tenacity's policies as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentflow.endpoints import Retry

__all__ = ["Tries"]


class Tries:
    """The runs of one step. A number is that many more, with waits of 0.5 s doubled up to 30 s, by chance."""

    def __init__(self, policy: int | Retry | None) -> None:
        import tenacity

        more = policy if isinstance(policy, int) else 0
        given = None if policy is None or isinstance(policy, int) else policy
        stop = tenacity.stop_after_attempt(more + 1)
        wait = tenacity.wait_random_exponential(multiplier=0.5, max=30)
        self._stop = stop if given is None else given.stop or tenacity.stop_after_attempt(5)
        self._wait = wait if given is None else given.wait or wait
        self._retry = None if given is None else given.retry
        self._state = tenacity.RetryCallState(tenacity.AsyncRetrying(), None, (), {})

    @property
    def number(self) -> int:
        """The number of the run that is under way, from 1."""
        return self._state.attempt_number

    def wait_after(self, error: Exception) -> float | None:
        """Return the seconds to wait before the next run, None when the error is final."""
        state = self._state
        state.set_exception((type(error), error, error.__traceback__))
        if (self._retry is not None and not self._retry(state)) or self._stop(state):
            return None
        wait = float(self._wait(state))
        state.idle_for += wait
        state.prepare_for_next_attempt()
        return wait
