"""The chart: how much sooner than sequential calling a task is done, by its number of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentflow_bench.asynclm.latency import Case, mean

__all__ = ["as_svg"]

_MODES: Mapping[str, str] = {
    "in_flight": "#1b7f5c",
    "native_refs": "#2457a6",
    "cml_text": "#7a4ea3",
    "native": "#c2571a",
    "sync_parallel": "#777777",
}
_WIDTH, _HEIGHT = 420, 300  # of one panel's field
_LEFT, _TOP, _GAP = 50, 72, 70
_MOST_CALLS = 10  # tasks with more are one point


def as_svg(panels: Mapping[str, Sequence[Case]]) -> str:
    """Return an SVG of one panel a title, side by side, all on one scale."""
    lines = {title: _lines(cases) for title, cases in panels.items()}
    top = max((y for each in lines.values() for points in each.values() for _, y in points), default=1.0)
    top = float(int(top) + 1)
    calls = sorted({x for each in lines.values() for points in each.values() for x, _ in points}) or [1]
    width = _LEFT + len(panels) * (_WIDTH + _GAP)
    height = _TOP + _HEIGHT + 90
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="16">Times sooner than one call after another</text>',
    ]
    for number, (title, each) in enumerate(lines.items()):
        parts += _panel(_LEFT + number * (_WIDTH + _GAP), title, each, calls, top)
    for number, (mode, colour) in enumerate(_MODES.items()):
        x, y = _LEFT + number * 150, height - 18
        parts.append(
            f'<line x1="{x}" y1="{y - 4}" x2="{x + 24}" y2="{y - 4}" stroke="{colour}" stroke-width="3"/>'
        )
        parts.append(f'<text x="{x + 30}" y="{y}">{mode}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _lines(cases: Sequence[Case]) -> dict[str, list[tuple[int, float]]]:
    """Return for each mode its mean speed-up by number of calls."""
    by_calls: dict[int, list[Case]] = {}
    for case in cases:
        by_calls.setdefault(min(len(case.task.calls), _MOST_CALLS), []).append(case)
    return {
        mode: [(calls, mean([_sooner(case, mode) for case in by_calls[calls]])) for calls in sorted(by_calls)]
        for mode in _MODES
    }


def _sooner(case: Case, mode: str) -> float:
    return case.taken["sync_sequential"].seconds / case.taken[mode].seconds


def _panel(
    left: int, title: str, lines: Mapping[str, Sequence[tuple[int, float]]], calls: Sequence[int], top: float
) -> list[str]:
    first, last = calls[0], max(calls[-1], calls[0] + 1)

    def x(value: int) -> float:
        return round(left + (value - first) / (last - first) * _WIDTH, 1)

    def y(value: float) -> float:
        return round(_TOP + _HEIGHT - value / top * _HEIGHT, 1)

    parts = [f'<text x="{left}" y="{_TOP - 20}" font-size="15">{title}</text>']
    for step in range(int(top) + 1):
        parts.append(
            f'<line x1="{left}" y1="{y(step)}" x2="{left + _WIDTH}" y2="{y(step)}" stroke="#dddddd"/>'
            f'<text x="{left - 8}" y="{y(step) + 4}" text-anchor="end">{step}×</text>'
        )
    for value in calls:
        name = f"{value}+" if value == _MOST_CALLS else str(value)
        parts.append(f'<text x="{x(value)}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{name}</text>')
    middle, below = left + _WIDTH / 2, _TOP + _HEIGHT + 38
    parts.append(f'<text x="{middle}" y="{below}" text-anchor="middle">calls of the task</text>')
    for mode, points in lines.items():
        path = " ".join(f"{x(a)},{y(b)}" for a, b in points)
        colour = _MODES[mode]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{x(a)}" cy="{y(b)}" r="3" fill="{colour}"/>' for a, b in points]
    return parts
