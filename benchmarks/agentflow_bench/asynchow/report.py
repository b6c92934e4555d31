"""What came of the questions, on a page, with a plot of how often an answer is right by complexity."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import cast

from agentflow_bench.asynchow.published import paper_lines, paper_table

__all__ = ["as_markdown", "as_svg", "as_text", "methods_markdown"]

_WIDTH, _HEIGHT, _LEFT, _TOP = 620, 280, 60, 50
_COLOURS = ("#1b7f5c", "#b5482a", "#2a62b5", "#8a5bb0", "#a8860a", "#3b8ea5", "#c2407f", "#5f5f5f")


def as_text(*results: Mapping[str, object]) -> str:
    """Return the figures as a few lines, and what the paper found by the same methods."""
    lines = [_text(result) for result in results]
    return "\n".join([*lines, *paper_lines({str(result["method"]): result for result in results})])


def _text(result: Mapping[str, object]) -> str:
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
    lines += paper_table(str(result["model"]), _asynchronous(result))
    return "\n".join([*lines, ""])


def methods_markdown(
    name: str, results: Sequence[Mapping[str, object]], command: str, data: str, about: Mapping[str, object]
) -> str:
    """Return the page of several methods: a row each, and a plot with a line each."""
    model, form = results[0]["model"], results[0]["form"]
    lines = [
        f"# AsyncHow: {model}, {form}, by {len(results)} methods",
        "",
        f"`{command}`; {data}; " + ", ".join(f"{key} {value}" for key, value in about.items()) + ".",
        "",
        "| method | questions | right | without an answer | tokens | a question |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        n, right = cast("int", result["n"]), cast("int", result["right"])
        lines.append(
            f"| [{result['method']}]({_name(result)}.md) | {n} | {right} ({_percent(right, n)}) |"
            f" {result['failed']} | {result['tokens']} | {result['seconds_a_question']} s |"
        )
    lines += ["", f"![Right answers by complexity and method]({name}.svg)"]
    lines += paper_table(str(model), {k: v for result in results for k, v in _asynchronous(result).items()})
    return "\n".join([*lines, ""])


def as_svg(*results: Mapping[str, object]) -> str:
    """Return a plot: right answers by complexity, a line a result; a point's size is how many there are."""
    lines = [
        [(int(name), *_pair(share)) for name, share in _shares(result, "by_complexity").items()]
        for result in results
    ]
    points = [point for line in lines for point in line]
    first = min((value for value, _, _ in points), default=0)
    last = max([first + 1, *(value for value, _, _ in points)])
    most = max((n for _, _, n in points), default=1)

    def x(value: float) -> float:
        return round(_LEFT + (value - first) / (last - first) * _WIDTH, 1)

    def y(share: float) -> float:
        return round(_TOP + _HEIGHT * (1 - share), 1)

    named = results[0]
    methods = [str(result["method"]) for result in results]
    title = html.escape(", ".join([str(named["model"]), *methods[: len(methods) == 1], str(named["form"])]))
    width = _LEFT + _WIDTH + (30 if len(results) == 1 else 180)
    height = _TOP + _HEIGHT + 55
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
    for place, (method, line) in enumerate(zip(methods, lines, strict=True)):
        colour = _COLOURS[place % len(_COLOURS)]
        path = " ".join(f"{x(value)},{y(right / n)}" for value, right, n in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for value, right, n in line:
            size = round(2.5 + 4 * (n / most) ** 0.5, 1)
            parts.append(
                f'<circle cx="{x(value)}" cy="{y(right / n)}" r="{size}" fill="{colour}">'
                f"<title>{html.escape(method)}, {value}: {right} of {n}</title></circle>"
            )
    parts += _legend(methods) if len(methods) > 1 else []
    return "\n".join([*parts, "</svg>", ""])


def _legend(methods: Sequence[str]) -> list[str]:
    left = _LEFT + _WIDTH + 20
    return [
        f'<rect x="{left}" y="{_TOP + 22 * place}" width="12" height="12"'
        f' fill="{_COLOURS[place % len(_COLOURS)]}"/>'
        f'<text x="{left + 18}" y="{_TOP + 22 * place + 11}">{html.escape(method)}</text>'
        for place, method in enumerate(methods)
    ]


def _asynchronous(result: Mapping[str, object]) -> dict[str, tuple[int, int]]:
    share = _shares(result, "by_kind").get("asynchronous")
    return {str(result["method"]): (0, 0) if share is None else _pair(share)}


def _shares(result: Mapping[str, object], key: str) -> dict[str, dict[str, int]]:
    return cast("dict[str, dict[str, int]]", result[key])


def _pair(share: Mapping[str, int]) -> tuple[int, int]:
    return share["right"], share["n"]


def _percent(right: int, n: int) -> str:
    return f"{right / n * 100:.1f} %" if n else "-"


def _name(result: Mapping[str, object]) -> str:
    return str(result["name"])
