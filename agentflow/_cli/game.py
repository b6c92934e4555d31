"""A game under way, as a person sees it: its picture, its ticks, who thinks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from agentflow._cli.gantt import Line
from agentflow._cli.say import error_line
from agentflow_protocols.chat import Json
from agentflow_protocols.trace import Custom

__all__ = ["GameBoard", "game_line"]

_EVERY = 40  # ticks, between two lines where nothing is drawn


@dataclass(slots=True)
class GameBoard:
    """What a game's `tick` and `slow` events have told."""

    tick: int = -1
    of: int = 0
    picture: str = ""
    by: Counter[str] = field(default_factory=Counter)
    thinking: dict[str, float] = field(default_factory=dict)  # since when
    verdicts: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.tick >= 0

    def take(self, event: Custom) -> None:
        """Take an event in, when it is a game's."""
        data = event.data
        if not isinstance(data, dict):
            return
        if event.name == "tick" and isinstance(data.get("tick"), int):
            self.tick, self.of = int(str(data["tick"])), int(str(data.get("of") or 0))
            self.by[str(data.get("by"))] += 1
            self.picture = str(data.get("picture") or "")
            thinking = data.get("thinking")
            names = [str(name) for name in thinking] if isinstance(thinking, list) else []
            self.thinking = {name: self.thinking.get(name, event.time) for name in names}
        elif event.name == "slow":
            self.verdicts[str(data.get("name"))] = f"{data.get('verdict')}, of tick {data.get('based_on')}"

    def lines(self, now: float, height: int) -> list[Line]:
        """Return at most `height` lines: the picture, and below it where things stand."""
        status: list[Line] = [[(f"tick {self.tick + 1} of {self.of}  {_counts(self.by)}", "bold")]]
        for name in dict.fromkeys([*self.thinking, *self.verdicts]):
            since = f"thinks for {now - self.thinking[name]:.1f} s" if name in self.thinking else "waits"
            last = f"; last: {self.verdicts[name]}" if name in self.verdicts else ""
            status.append(
                [(f"  {error_line(name)} {since}{last}", "cyan" if name in self.thinking else "dim")]
            )
        room = max(0, height - len(status))
        shown = ["".join(c if c.isprintable() else "?" for c in line) for line in self.picture.splitlines()]
        return [*([(line, "")] for line in shown[:room]), *status]


def game_line(event: Custom) -> str | None:
    """Return a game's event as a line, None for one that is not worth one."""
    data = event.data
    if not isinstance(data, dict):
        return None
    if event.name == "slow":
        return f"{data.get('name')}: what is of tick {data.get('based_on')}: {data.get('verdict')}"
    if event.name == "tick" and _is_due(data.get("tick")):
        return f"tick {data.get('tick')} of {data.get('of')}"
    return None


def _is_due(tick: Json) -> bool:
    return isinstance(tick, int) and tick % _EVERY == 0


def _counts(by: Counter[str]) -> str:
    return "  ".join(f"{name} {count}" for name, count in by.items())
