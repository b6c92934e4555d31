"""Limits of a run, and what it has spent. They go down the tree and are never widened."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.errors import LimitExceeded, UserError
from agentflow_protocols.chat import Usage

__all__ = ["Budget", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may spend, with all that runs below it. None is no limit.

    `turns` are model replies, `tokens` input and output together, `money` USD,
    `time` seconds on the run's clock.
    """

    turns: int | None = None
    tokens: int | None = None
    money: float | None = None
    time: float | None = None

    def tightened(self, other: Limits | None) -> Limits:
        """Return the limits that keep to both."""
        if other is None:
            return self

        def least(name: str) -> float | None:
            return min(
                (v for v in (getattr(self, name), getattr(other, name)) if v is not None), default=None
            )

        turns, tokens = least("turns"), least("tokens")
        return Limits(
            None if turns is None else int(turns),
            None if tokens is None else int(tokens),
            least("money"),
            least("time"),
        )

    def __post_init__(self) -> None:
        for name in ("turns", "tokens", "money", "time"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UserError(f"limit {name} must be 0 or more, not {value!r}")


class Budget:
    """What one run has spent; charges go to every run above it, too."""

    __slots__ = ("_known", "_parent", "limits", "money", "turns", "usage")

    def __init__(self, limits: Limits | None = None, parent: Budget | None = None) -> None:
        self.limits = limits or _NO_LIMITS
        self.usage = Usage()
        self.turns = 0
        self.money = 0.0
        self._known = True
        self._parent = parent

    @property
    def cost(self) -> float | None:
        """USD spent; None when the price of a reply was unknown."""
        return self.money if self._known else None

    def charge(self, usage: Usage, cost: float | None) -> None:
        """Count one reply, here and above. Limits are looked at by `check`."""
        budget: Budget | None = self
        while budget is not None:
            budget.usage.add(usage)
            budget.turns += 1
            if cost is None:
                budget._known = False
            else:
                budget.money += cost
            budget = budget._parent

    def check(self) -> None:
        """Raise LimitExceeded when another reply would break a limit, here or above."""
        budget: Budget | None = self
        while budget is not None:
            limits = budget.limits
            if limits is not _NO_LIMITS:
                budget._check(limits)
            budget = budget._parent

    def _check(self, limits: Limits) -> None:
        if limits.turns is not None and self.turns >= limits.turns:
            raise LimitExceeded(f"limit of {limits.turns} turns reached", limit="turns")
        if limits.tokens is not None and self.usage.total_tokens >= limits.tokens:
            raise LimitExceeded(
                f"limit of {limits.tokens} tokens reached ({self.usage.total_tokens} spent)", limit="tokens"
            )
        if limits.money is not None:
            if not self._known:
                raise UserError(
                    "a money limit needs a price on every endpoint that is used: Endpoint(price=Price(…))"
                )
            if self.money >= limits.money:
                raise LimitExceeded(
                    f"limit of {limits.money:g} USD reached ({self.money:.4f} spent)", limit="money"
                )


_NO_LIMITS = Limits()
