"""Pictures of a tournament, as SVG in plain text: where everyone stands, and how it went.

They are light or dark as their reader's screen is, and need nothing beside them; what is in them can be
read aloud. Put into a page, several of them don't disturb one another.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Callable, Sequence
from html import escape
from typing import TypeVar

import pydantic_core

from agentflow.errors import UserError
from agentflow.tournament.report import Progress, Standing

__all__ = ["columns_of", "cut", "history_picture", "rating_picture", "title_of"]

Item = TypeVar("Item")

_LIGHT = ("#1f6feb", "#bc4c00", "#1a7f37", "#8250df", "#cf222e", "#0f766e", "#7d4e00", "#57606a")
_DARK = ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#ff7b72", "#2dd4bf", "#d29922", "#8b949e")
_WIDTH, _ROW, _HEAD = 920, 22, 58
_LEFT, _RIGHT = 330, 232  # for who it is, and for the figures
_TITLE = 46  # columns of a title
_FAR = 1e9  # a quality beyond this is none
_NAMES = ("title", "name", "text", "statement", "summary")


def rating_picture(
    standings: Sequence[Standing[Item]],
    *,
    k: int | None = None,
    title: str = "Ranking",
    title_of: Callable[[Item], str] | None = None,
    most: int = 200,
) -> str:
    """Return a ranking as SVG: a row for each item with its mean and its 80% credible interval.

    Those that are withdrawn stand below, struck out. A line stands under the best `k`. Colour and shape
    tell where an item comes from. Beyond `most` rows it says how many more there are. Raises `UserError`
    when there is nothing to show.
    """
    if not standings:
        raise UserError("there is nothing to draw: the ranking is empty")
    playing = [each for each in standings if each.withdrawn is None]
    rows = [*playing, *(each for each in standings if each.withdrawn is not None)]
    shown, more = rows[:most], max(0, len(rows) - most)
    sources = list(dict.fromkeys(_source(each) for each in shown))
    rated = [each for each in shown if each.matches or each.withdrawn is None]
    scale = _Scale(
        [value for each in rated for value in (each.low, each.high, each.quality)], _LEFT, _WIDTH - _RIGHT
    )
    top = _HEAD + 20 * _legend_lines(sources)
    bottom = top + _ROW * len(shown)
    body = [f'<text class="h" x="16" y="28">{_safe(cut(title, 90))}</text>']
    body += _legend(sources, 48)
    body += _grid(scale, top, bottom)
    named = title_of or _named
    for place, each in enumerate(shown):
        if each.withdrawn is None and place and place == k:
            y = top + _ROW * place
            body.append(f'<path class="k" d="M16 {y}H{_WIDTH - 16}"/>')
        body.append(_row(each, place, top + _ROW * place, sources, scale, named(each.item)))
    if more:
        body.append(f'<text class="m" x="16" y="{bottom + 34}">and {more} more</text>')
    best = shown[0]
    told = (
        f"{len(playing)} items, best first. The best is {cut(_flat(named(best.item)), 120)}, with a quality"
        f" of {_number(best.quality)}, by 80% between {_number(best.low)} and {_number(best.high)}."
    )
    return _picture(title, told, _WIDTH, bottom + (46 if more else 30), body)


def history_picture(
    history: Sequence[Progress], *, parts: int | None = 10, title: str = "Quality by matches"
) -> str:
    """Return how it went as SVG: the best quality, and the mean of the best ten, by matches judged.

    `parts` points at equal distances are drawn, or all of them when it is None. Raises `UserError` when
    there is nothing to show.
    """
    points = [each for each in history if math.isfinite(each.best) and math.isfinite(each.best_ten)]
    if not points:
        raise UserError("there is nothing to draw: no match has been judged")
    if parts is not None:
        points = _thinned(points, parts)
    width, height, left, right, top, bottom = 640, 340, 64, 596, 76, 290
    most = max(1, points[-1].judged)
    scale = _Scale([value for each in points for value in (each.best, each.best_ten)], bottom, top)
    body = [f'<text class="h" x="16" y="28">{_safe(cut(title, 70))}</text>']
    for tick in scale.ticks:
        y = scale.at(tick)
        body.append(f'<path class="g" d="M{left} {y:.1f}H{right}"/>')
        body.append(f'<text class="m e" x="{left - 8}" y="{y + 4:.1f}">{_tick(tick)}</text>')
    for tick in _ticks(0, most):
        if tick == int(tick) and tick <= most:
            x = left + (right - left) * tick / most
            body.append(f'<text class="m c" x="{x:.1f}" y="{bottom + 20}">{int(tick)}</text>')
    body.append(f'<text class="m c" x="{(left + right) / 2:.0f}" y="{bottom + 38}">matches judged</text>')
    lines = (
        ("best quality", [each.best for each in points]),
        ("mean of the best ten", [each.best_ten for each in points]),
    )
    for number, (name, values) in enumerate(lines):
        at = [
            (left + (right - left) * each.judged / most, scale.at(value))
            for each, value in zip(points, values, strict=True)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        body.append(f'<polyline class="l s{number}" points="{path}"/>')
        body += [_marker(number, x, y) for x, y in at]
        body.append(_marker(number, 72 + 150 * number, 50))
        body.append(f'<text x="{82 + 150 * number}" y="54">{name}</text>')
    last = points[-1]
    told = (
        f"After {last.judged} matches the best quality is {_number(last.best)} and the mean of the best ten"
        f" {_number(last.best_ten)}; at first they were {_number(points[0].best)} and"
        f" {_number(points[0].best_ten)}."
    )
    return _picture(title, told, width, height, body)


def title_of(item: object) -> str:
    """Return a line that names an item: its text, its `title`, `name` or `text`, or else its JSON."""
    if isinstance(item, str):
        return _flat(item)
    plain = pydantic_core.to_jsonable_python(item, fallback=str)
    if isinstance(plain, dict):
        found = next((plain[name] for name in _NAMES if isinstance(plain.get(name), str)), None)
        if found is not None and found.strip():
            return _flat(found)
    return _flat(json.dumps(plain, ensure_ascii=False))


def columns_of(text: str) -> int:
    """Return the columns that a text takes where letters are of one width: two for a wide one."""
    return sum(map(_columns, text))


def cut(text: str, columns: int) -> str:
    """Return a text that takes no more than so many columns, with an ellipsis where it was cut."""
    if columns_of(text) <= columns:
        return text
    taken, kept = 1, []
    for character in text:
        taken += _columns(character)
        if taken > columns:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


_named = title_of


class _Scale:
    """Values on a line of the picture, with round ticks."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        finite = [value for value in values if abs(value) < _FAR] or [0.0]
        low, high = min(finite), max(finite)
        if high - low < 1e-9:
            low, high = low - 1, high + 1
        room = 0.04 * (high - low)
        self._low, self._high = low - room, high + room
        self._start, self._end = start, end
        self.ticks = _ticks(self._low, self._high)

    def at(self, value: float) -> float:
        """Return where a value stands; one that is none stands within it."""
        value = min(self._high, max(self._low, value if not math.isnan(value) else 0.0))
        return self._start + (self._end - self._start) * (value - self._low) / (self._high - self._low)


def _ticks(low: float, high: float) -> list[float]:
    """Return four to nine round values between two."""
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(step * times for times in (5, 2, 1) if (high - low) / (step * times) >= 3 or times == 1)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _row(
    each: Standing[Item], place: int, y: float, sources: Sequence[str], scale: _Scale, title: str
) -> str:
    middle = y + _ROW / 2
    source = _source(each)
    number = min(sources.index(source), len(_LIGHT) - 1)
    out = each.withdrawn is not None
    rank = "" if out else f"{place + 1}."
    told, bar, figures = f"{rank} {title}: never played", "", "never played"
    if each.matches or not out:
        interval = f"{_number(each.low)} to {_number(each.high)}"
        told = f"{rank} {title}: quality {_number(each.quality)}, by 80% {interval}"
        told += f"; {_count(each.matches, 'match')}"
        figures = f"{_number(each.quality)} ({interval})"
        low, high = scale.at(each.low), scale.at(each.high)
        bar = f'<path class="i s{number}" d="M{low:.1f} {middle:g}H{max(high, low + 1):.1f}"/>'
        bar += _marker(number, scale.at(each.quality), middle)
    told += f"; from {each.source}" + (f"; withdrawn: {each.withdrawn}" if each.withdrawn is not None else "")
    return (
        f'<g class="{"o" if out else "r"}"><title>{_safe(_flat(told))}</title>'
        f'<rect class="b" x="8" y="{y:g}" width="{_WIDTH - 16}" height="{_ROW}"/>'
        f'<text class="m e" x="40" y="{middle + 4:g}">{rank}</text>'
        f'<text class="t" x="48" y="{middle + 4:g}">{_safe(cut(_flat(title), _TITLE))}</text>{bar}'
        f'<text class="f" x="{_WIDTH - _RIGHT + 14}" y="{middle + 4:g}">{figures}</text>'
        f'<text class="m e" x="{_WIDTH - 16}" y="{middle + 4:g}">{each.matches}</text></g>'
    )


def _marker(number: int, x: float, y: float) -> str:
    """Return a mark whose shape tells what its colour tells."""
    kind = f'class="p s{number}"'
    if number % 4 == 0:
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    if number % 4 == 1:
        return f'<rect {kind} x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    corners = "0-5.5l5.5 5.5-5.5 5.5-5.5-5.5" if number % 4 == 2 else "0-5.5l5.5 9.5h-11"
    return f'<path {kind} d="M{x:.1f} {y:.1f}m{corners}z"/>'


def _grid(scale: _Scale, top: float, bottom: float) -> list[str]:
    lines = []
    for tick in scale.ticks:
        x = scale.at(tick)
        lines.append(f'<path class="g" d="M{x:.1f} {top - 4:g}V{bottom + 4:g}"/>')
        lines.append(f'<text class="m c" x="{x:.1f}" y="{bottom + 18:g}">{_tick(tick)}</text>')
    lines.append(f'<text class="m" x="{_WIDTH - _RIGHT + 14}" y="{top - 8:g}">quality (80% interval)</text>')
    lines.append(f'<text class="m e" x="{_WIDTH - 16}" y="{top - 8:g}">matches</text>')
    return lines


def _legend(sources: Sequence[str], y: float) -> list[str]:
    marks: list[str] = []
    for number, name in enumerate(sources[: len(_LIGHT)]):
        x, line = 24 + 130 * (number % 6), y + 20 * (number // 6)
        shown = name if number < len(_LIGHT) - 1 or len(sources) == len(_LIGHT) else "others"
        marks.append(_marker(number, x, line - 4))
        marks.append(f'<text x="{x + 10}" y="{line:g}">{_safe(cut(shown, 16))}</text>')
    return marks


def _legend_lines(sources: Sequence[str]) -> int:
    return (min(len(sources), len(_LIGHT)) + 5) // 6


def _source(each: Standing[Item]) -> str:
    return _flat(each.source.partition("/")[0]) or "given"


def _thinned(points: Sequence[Progress], parts: int) -> list[Progress]:
    """Return the first point, and the last one within each of so many equal parts of the matches."""
    most = points[-1].judged
    chosen = [points[0]]
    for part in range(1, parts + 1):
        within = [each for each in points if each.judged <= most * part / parts]
        if within and within[-1] is not chosen[-1]:
            chosen.append(within[-1])
    return chosen


def _picture(title: str, told: str, width: int, height: float, body: Sequence[str]) -> str:
    drawn = "\n".join(body)
    name = (
        "af" + hashlib.blake2b(f"{title}{told}{drawn}".encode("utf-8", "replace"), digest_size=5).hexdigest()
    )
    light = "".join(f"#{name} .s{n}{{--s:{colour}}}" for n, colour in enumerate(_LIGHT))
    dark = "".join(f"#{name} .s{n}{{--s:{colour}}}" for n, colour in enumerate(_DARK))
    rules = (
        "{--f:#1f2328;--m:#59636e;--g:#d8dee4;--b:#ffffff;font:12px system-ui,sans-serif}",
        " text{fill:var(--f)}",
        " .h{font-size:16px;font-weight:600}",
        " .m{fill:var(--m)}",
        " .f{font-variant-numeric:tabular-nums}",
        " .e{text-anchor:end}",
        " .c{text-anchor:middle}",
        " .g{stroke:var(--g);fill:none}",
        " .k{stroke:var(--m);stroke-dasharray:4 4;fill:none}",
        " .p{fill:var(--s)}",
        " .i{stroke:var(--s);stroke-width:5;stroke-opacity:.35;stroke-linecap:round}",
        " .l{fill:none;stroke:var(--s);stroke-width:2}",
        " .b{fill:transparent}",
        " g:hover .b{fill:var(--g);fill-opacity:.5}",
        " .o{opacity:.6}",
        " .o .t{text-decoration:line-through}",
    )
    style = light + "".join(f"#{name}{rule}" for rule in rules)
    style += f"@media(prefers-color-scheme:dark){{#{name}"
    style += f"{{--f:#e6edf3;--m:#9198a1;--g:#3d444d;--b:#0d1117}}{dark}}}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" role="img" aria-labelledby="{name}-t {name}-d"'
        f' width="{width}" height="{height:g}" viewBox="0 0 {width} {height:g}">\n'
        f'<title id="{name}-t">{_safe(_flat(title))}</title>\n<desc id="{name}-d">{_safe(told)}</desc>\n'
        f"<style>{style}</style>\n"
        f'<rect width="{width}" height="{height:g}" fill="var(--b)"/>\n{drawn}\n</svg>\n'
    )


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "?"
    text = f"{value:.2f}" if abs(value) < 1000 else f"{value:.4g}"
    return text.replace("-", "−") if float(text) else text.replace("-", "")


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}es"


def _flat(text: str) -> str:
    """Return a text in one line, with nothing in it that XML can't hold."""
    kept = "".join(
        c if ord(c) >= 32 and not 0xD800 <= ord(c) <= 0xDFFF and ord(c) & 0xFFFE != 0xFFFE else " "
        for c in text
    )
    return " ".join(kept.split())


def _safe(text: str) -> str:
    return escape(_flat(text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
