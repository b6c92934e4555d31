"""What may be spent on an endpoint in all: reserved before a request, settled by what it took."""

from __future__ import annotations

import asyncio
from collections import deque
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
        self._held_tokens = 0.0
        self._held_usd = 0.0
        self._waiting: deque[_Waiter] = deque()

    async def reserve(self, name: str, tokens_in: int, tokens_out: int, price: Price | None) -> Hold:
        """Return a hold for a request of at most so many tokens. Raises `LimitExceeded`."""
        if self.usd is not None and price is None:
            raise UserError(f"{name}: an allowance in USD needs a price: Endpoint(price=Price(…))")
        usd = price.cost(Usage(tokens_in, tokens_out)) if price is not None else 0.0
        hold = Hold(tokens_in + tokens_out, usd, price)
        waiter = _Waiter(name, hold, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._serve()
        try:
            await waiter.served
        except asyncio.CancelledError:
            if hold in self._held:
                self.settle(hold, None)
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
                self._serve()
            raise
        return hold

    def settle(self, hold: Hold, usage: Usage | None) -> None:
        """Count what a request took, None for nothing, in place of its hold."""
        if hold not in self._held:
            return
        self._held.remove(hold)
        self._held_tokens -= hold.tokens
        self._held_usd -= hold.usd
        if not self._held:
            self._held_tokens = self._held_usd = 0.0  # no sum of roundings
        if usage is not None:
            self.spent_tokens += usage.total_tokens
            self.spent_usd += hold.price.cost(usage) if hold.price is not None else 0.0
        self._serve()

    def change(self, *, tokens: float | None = None, usd: float | None = None) -> None:
        """Allow `tokens` and `usd` in all from now on; what is None stays. Who waits is looked at again."""
        if any(value is not None and not value > 0 for value in (tokens, usd)):
            raise UserError("an allowance needs tokens or usd, above 0")
        self.tokens = self.tokens if tokens is None else tokens
        self.usd = self.usd if usd is None else usd
        self._serve()

    def _serve(self) -> None:
        """Let those go that wait, in their order, while they fit; refuse them when nothing is under way."""
        while self._waiting:
            waiter = self._waiting[0]
            over = self._over(waiter.hold)
            if over is not None and self._held:
                return
            self._waiting.popleft()
            if over is None:
                self._held.add(waiter.hold)
                self._held_tokens += waiter.hold.tokens
                self._held_usd += waiter.hold.usd
            waiter.tell(over)

    def _over(self, hold: Hold) -> str | None:
        if self.tokens is not None and self.spent_tokens + self._held_tokens + hold.tokens > self.tokens:
            spent = f"{self.spent_tokens:g} of {self.tokens:g} tokens are spent"
            return f"{spent}, and {hold.tokens:g} may be needed"
        if self.usd is not None and self.spent_usd + self._held_usd + hold.usd > self.usd:
            return f"${self.spent_usd:.4f} of ${self.usd:g} are spent, and ${hold.usd:.4f} may be needed"
        return None


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request that waits for its hold."""

    name: str
    hold: Hold
    served: asyncio.Future[None]

    def tell(self, over: str | None) -> None:
        """Let it go, or refuse it, on its own loop."""
        loop = self.served.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._tell, over)

    def _tell(self, over: str | None) -> None:
        if self.served.done():
            return
        if over is None:
            self.served.set_result(None)
        else:
            text = f"{self.name}: its allowance is used up: {over}"
            self.served.set_exception(LimitExceeded(text, limit="allowance"))
