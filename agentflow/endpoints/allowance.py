"""What may be spent on an endpoint in all: reserved before a request, settled by what it took."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from agentflow.endpoints.price import Price
from agentflow.errors import LimitExceeded, UserError
from agentflow_protocols.chat.messages import Usage

__all__ = ["Allowance", "Hold"]


@dataclass(slots=True, eq=False)
class Hold:
    """What is reserved for one request."""

    tokens: float
    usd: float
    price: Price | None


class Allowance:
    """At most `tokens` (in and out) and `usd`, for all endpoints that are given it.

    A request whose reservation does not fit waits for those under way; when nothing is
    under way it is refused with `LimitExceeded`, before anything is sent. What was
    answered stays answered. The bound is hard where requests have `max_tokens`, since
    nobody knows how long another reply will be.
    """

    def __init__(self, *, tokens: float | None = None, usd: float | None = None) -> None:
        if (tokens is None and usd is None) or any(v is not None and not v > 0 for v in (tokens, usd)):
            raise UserError("an allowance needs tokens or usd, above 0")
        self.tokens = tokens
        self.usd = usd
        self.spent_tokens = 0.0
        self.spent_usd = 0.0
        self._held: set[Hold] = set()
        self._waiting: list[asyncio.Future[None]] = []

    async def reserve(self, name: str, tokens_in: int, tokens_out: int, price: Price | None) -> Hold:
        """Return a hold for a request of at most so many tokens. Raises `LimitExceeded`."""
        if self.usd is not None and price is None:
            raise UserError(f"{name}: an allowance in USD needs a price: Endpoint(price=Price(…))")
        usd = price.cost(Usage(tokens_in, tokens_out)) if price is not None else 0.0
        hold = Hold(tokens_in + tokens_out, usd, price)
        while (over := self._over(hold)) is not None:
            if not self._held:
                raise LimitExceeded(f"{name}: its allowance is used up: {over}", limit="allowance")
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        self._held.add(hold)
        return hold

    def settle(self, hold: Hold, usage: Usage | None) -> None:
        """Count what a request took, None for nothing, in place of its hold."""
        if hold not in self._held:
            return
        self._held.remove(hold)
        if usage is not None:
            self.spent_tokens += usage.total_tokens
            self.spent_usd += hold.price.cost(usage) if hold.price is not None else 0.0
        self._wake_all()

    def change(self, *, tokens: float | None = None, usd: float | None = None) -> None:
        """Allow `tokens` and `usd` in all from now on; what is None stays. Who waits is looked at again."""
        if any(value is not None and not value > 0 for value in (tokens, usd)):
            raise UserError("an allowance needs tokens or usd, above 0")
        self.tokens = self.tokens if tokens is None else tokens
        self.usd = self.usd if usd is None else usd
        self._wake_all()

    def _wake_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.get_loop().call_soon_threadsafe(_wake, future)

    def _over(self, hold: Hold) -> str | None:
        tokens = self.spent_tokens + sum(held.tokens for held in self._held) + hold.tokens
        if self.tokens is not None and tokens > self.tokens:
            spent = f"{self.spent_tokens:g} of {self.tokens:g} tokens are spent"
            return f"{spent}, and {hold.tokens:g} may be needed"
        usd = self.spent_usd + sum(held.usd for held in self._held) + hold.usd
        if self.usd is not None and usd > self.usd:
            return f"${self.spent_usd:.4f} of ${self.usd:g} are spent, and ${hold.usd:.4f} may be needed"
        return None


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
