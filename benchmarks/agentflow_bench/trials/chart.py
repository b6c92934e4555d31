"""A chart of shares of right answers by a group whose values are numbers; a line for each who was tried."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import cast

from agentflow_bench.trials.page import labels

__all__ = ["as_svg"]

_WIDTH, _HEIGHT, _LEFT, _TOP = 620, 280, 60, 50
_COLOURS = ("#1b7f5c", "#b5482a", "#2f5d9b", "#8a6d1f", "#7a3f8f", "#4a4a4a", "#0f8b8d", "#a3295b")

Told = Mapping[str, object]
Point = tuple[float, int, int]  # the group's value, right, n


def as_svg(results: Sequence[Told], title: str) -> str | None:
    """Return the chart, or None when no group of theirs has numbers to draw along.

    A point's size is how many cases there are.
    """
    name = _numeric(results[0])
    if name is None:
        return None
    lines = [(who, _points(told, name)) for who, told in zip(labels(results), results, strict=True)]
    scale = _Scale([x for _, points in lines for x, _, _ in points])
    most = max(n for _, points in lines for _, _, n in points)
    width, height = _LEFT + _WIDTH + 30, _TOP + _HEIGHT + 55 + 18 * len(lines)
    heading = html.escape(f"{title}: right answers by {name}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="26" font-size="16">{heading}</text>',
        *_axes(name, scale),
    ]
    for number, (who, points) in enumerate(lines):
        parts += _line(html.escape(who), points, scale, most, number)
    return "\n".join([*parts, "</svg>", ""])


class _Scale:
    """Where a value and a share lie on the picture."""

    def __init__(self, values: Sequence[float]) -> None:
        self.first, self.last = min(values), max(max(values), min(values) + 1)

    def x(self, value: float) -> float:
        return round(_LEFT + (value - self.first) / (self.last - self.first) * _WIDTH, 1)

    def y(self, share: float) -> float:
        return round(_TOP + _HEIGHT * (1 - share), 1)


def _axes(name: str, scale: _Scale) -> list[str]:
    parts: list[str] = []
    for tenth in range(0, 11, 2):
        y = scale.y(tenth / 10)
        parts.append(
            f'<line x1="{_LEFT}" y1="{y}" x2="{_LEFT + _WIDTH}" y2="{y}" stroke="#dddddd"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{tenth * 10} %</text>'
        )
    first, last = int(scale.first), int(scale.last)
    for value in range(first, last + 1, max(1, (last - first) // 12)):
        parts.append(
            f'<text x="{scale.x(value)}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{value}</text>'
        )
    middle = _LEFT + _WIDTH / 2
    parts.append(
        f'<text x="{middle}" y="{_TOP + _HEIGHT + 38}" text-anchor="middle">{html.escape(name)}</text>'
    )
    return parts


def _line(who: str, points: Sequence[Point], scale: _Scale, most: int, number: int) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    path = " ".join(f"{scale.x(value)},{scale.y(right / n)}" for value, right, n in points)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for value, right, n in points:
        size = round(2.5 + 4 * (n / most) ** 0.5, 1)
        parts.append(
            f'<circle cx="{scale.x(value)}" cy="{scale.y(right / n)}" r="{size}" fill="{colour}">'
            f"<title>{who}: {value:g}: {right} of {n}</title></circle>"
        )
    y = _TOP + _HEIGHT + 50 + 18 * number
    parts.append(
        f'<rect x="{_LEFT}" y="{y}" width="12" height="12" fill="{colour}"/>'
        f'<text x="{_LEFT + 18}" y="{y + 11}">{who}</text>'
    )
    return parts


def _numeric(told: Told) -> str | None:
    """Return the first group with at least three values that are all numbers."""
    for key, sums in told.items():
        if key.startswith("by_") and isinstance(sums, dict) and len(sums) > 2 and all(map(_is_number, sums)):
            return key[3:]
    return None


def _is_number(value: str) -> bool:
    return value.replace(".", "", 1).isdigit()


def _points(told: Told, name: str) -> list[Point]:
    sums = cast("Mapping[str, Mapping[str, int]]", told.get(f"by_{name}", {}))
    return sorted((float(value), one["right"], one["n"]) for value, one in sums.items() if _is_number(value))
