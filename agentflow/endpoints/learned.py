"""What a server's answers teach about its limits."""

from __future__ import annotations

from collections.abc import Mapping

from agentflow_protocols.chat.limits import LimitReading

__all__ = ["Span", "tells_limits"]

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_SURE = 10  # answers after which a short window is believed


def tells_limits(headers: Mapping[str, str]) -> bool:
    """Return whether an answer says anything of limits."""
    return any("ratelimit" in name or "tokenlimit" in name for name in headers)


class Span:
    """The time in which a server counts up to a limit: named, or found by what its answers say of the reset.

    A minute is meant unless something else is clear. A bucket that is whole again in
    `reset_s` after `limit - remaining` units were taken fills in
    `limit * reset_s / (limit - remaining)` seconds, which tells an hour or a day. A window
    of a second never has a reset beyond it, even when a minute's would be farther off.
    """

    __slots__ = ("_answers", "_far", "_longest")

    def __init__(self) -> None:
        self._answers = 0
        self._longest = 0.0
        self._far = False

    def seconds(self, reading: LimitReading) -> float:
        """Take in what an answer says, and return the time in which its limit counts."""
        if reading.window_s is not None:
            return reading.window_s
        limit, left, reset = reading.limit, reading.remaining, reading.reset_s
        if reset is None or limit is None or left is None or left >= limit:
            return _MINUTE
        self._answers += 1
        self._longest = max(self._longest, reset)
        self._far = self._far or (limit - left) * _MINUTE / limit > 2.0
        if self._longest > 1.1 * _MINUTE:
            fills = limit * reset / (limit - left)
            return _HOUR if fills <= 1.1 * _HOUR else _DAY
        if self._answers >= _SURE and self._far and self._longest <= 1.05:
            return 1.0
        return _MINUTE
