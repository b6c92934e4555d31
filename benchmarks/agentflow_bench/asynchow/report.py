"""What came of the questions, on a page, with a plot of how often an answer is right by complexity."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import cast

__all__ = ["as_markdown", "as_svg", "as_text"]

_WIDTH, _HEIGHT, _LEFT, _TOP = 620, 280, 60, 50
_COLOUR = "#1b7f5c"


def as_text(result: Mapping[str, object]) -> str:
    """Return the figures as a few lines."""
    n, right = cast("int", result["n"]), cast("int", result["right"])
    lines = [
        f"{result['model']}, {result['method']}, {result['form']}:"
        f" {right} of {n} right ({_percent(right, n)}), {result['exact']} exactly",
    ]
    for kind, share in _shares(result, "by_kind").items():
        lines.append(f"  {kind:<13} {share['right']:>5} of {share['n']:<5} {_percent(*_pair(share))}")
    told = [f"{result['tokens']} tokens", f"{result['requests']} requests", f"{result['wall_s']} s"]
    if result["cost"]:
        told.append(f"${cast('float', result['cost']):.4f}")
    if result["failed"]:
        told.append(f"{result['failed']} without an answer: the same command asks them again")
    return "\n".join([*lines, "  " + ", ".join(told)])


def as_markdown(result: Mapping[str, object], command: str, data: str, about: Mapping[str, object]) -> str:
    """Return the page. `data` says where the questions are from, `about` on what it ran."""
    n, right = cast("int", result["n"]), cast("int", result["right"])
    cost = result["cost"]
    lines = [
        f"# AsyncHow: {result['model']}, {result['method']}, {result['form']}",
        "",
        f"`{command}`; {data}; " + ", ".join(f"{key} {value}" for key, value in about.items()) + ".",
        "",
        "| questions | right | exactly the known range | without an answer | tokens | USD | wall time |"
        " a question |",
        "|---|---|---|---|---|---|---|---|",
        f"| {n} | {right} ({_percent(right, n)}) | {result['exact']} | {result['failed']} |"
        f" {result['tokens']} | {'unknown' if cost is None else f'{cost:.4f}'} | {result['wall_s']} s |"
        f" {result['seconds_a_question']} s |",
        "",
        f"![Right answers by complexity]({_name(result)}.svg)",
        "",
        "An answer is right when it and the known one have a time in common. Complexity is |V| + |E| of the"
        " question's graph, with START and END.",
    ]
    for title, key in (("kind", "by_kind"), ("complexity", "by_complexity")):
        lines += ["", f"| {title} | questions | right | |", "|---|---|---|---|"]
        lines += [
            f"| {name} | {share['n']} | {share['right']} | {_percent(*_pair(share))} |"
            for name, share in _shares(result, key).items()
        ]
    return "\n".join([*lines, ""])


def as_svg(result: Mapping[str, object]) -> str:
    """Return a plot: the share of right answers by complexity; a point's size is how many there are."""
    points = [(int(name), *_pair(share)) for name, share in _shares(result, "by_complexity").items()]
    first, last = (points[0][0], max(points[-1][0], points[0][0] + 1)) if points else (0, 1)
    most = max((n for _, _, n in points), default=1)

    def x(value: float) -> float:
        return round(_LEFT + (value - first) / (last - first) * _WIDTH, 1)

    def y(share: float) -> float:
        return round(_TOP + _HEIGHT * (1 - share), 1)

    title = html.escape(f"{result['model']}, {result['method']}, {result['form']}")
    width, height = _LEFT + _WIDTH + 30, _TOP + _HEIGHT + 55
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="26" font-size="16">{title}</text>',
    ]
    for tenth in range(0, 11, 2):
        parts.append(
            f'<line x1="{_LEFT}" y1="{y(tenth / 10)}" x2="{_LEFT + _WIDTH}" y2="{y(tenth / 10)}"'
            f' stroke="#dddddd"/><text x="{_LEFT - 8}" y="{y(tenth / 10) + 4}" text-anchor="end">'
            f"{tenth * 10} %</text>"
        )
    step = max(1, (last - first) // 12)
    for value in range(first, last + 1, step):
        parts.append(f'<text x="{x(value)}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{value}</text>')
    parts.append(
        f'<text x="{_LEFT + _WIDTH / 2}" y="{height - 12}" text-anchor="middle">complexity, |V| + |E|</text>'
    )
    path = " ".join(f"{x(value)},{y(right / n)}" for value, right, n in points)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{_COLOUR}" stroke-width="2"/>')
    for value, right, n in points:
        size = round(2.5 + 4 * (n / most) ** 0.5, 1)
        parts.append(
            f'<circle cx="{x(value)}" cy="{y(right / n)}" r="{size}" fill="{_COLOUR}">'
            f"<title>{value}: {right} of {n}</title></circle>"
        )
    return "\n".join([*parts, "</svg>", ""])


def _shares(result: Mapping[str, object], key: str) -> dict[str, dict[str, int]]:
    return cast("dict[str, dict[str, int]]", result[key])


def _pair(share: Mapping[str, int]) -> tuple[int, int]:
    return share["right"], share["n"]


def _percent(right: int, n: int) -> str:
    return f"{right / n * 100:.1f} %" if n else "-"


def _name(result: Mapping[str, object]) -> str:
    return str(result["name"])
