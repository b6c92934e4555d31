"""What came of trials on a page and as a few lines: the same form for every bench."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

from agentflow_bench.trials.trial import Published, Trials

__all__ = ["as_markdown", "as_text", "common", "labels"]

Task = TypeVar("Task")
Told = Mapping[str, object]
_WIDE = 12  # values of a group that still fit as columns
_COUNTS = ("n", "right", "failed", "tokens", "input_tokens", "output_tokens", "requests")


def as_text(trials: Sequence[Trials[Task]], results: Sequence[Told]) -> str:
    """Return the figures as aligned lines, and what others published; of several trials a line each."""
    lines = _one(trials[0], results[0]) if len(results) == 1 else _several(trials, results)
    for told, name in zip(results, labels(results), strict=True):
        if told["failed"]:
            lines.append(f"{name}: {told['failed']} without an answer; the same command asks them again")
    return "\n".join([*lines, *_published_lines(_published(trials))])


def _one(each: Trials[Task], told: Told) -> list[str]:
    (name,) = labels([told])
    lines = [f"{each.bench}, {name}: {_right(told)} right ({_share(told)})"]
    lines += _group_lines(told)
    lines += [f"  {name}: {told[name]}" for name in _truths(told)]
    for figure, found in _figures(told).items():
        lines.append(f"  {figure}: {_mean(found)} {each.units.get(figure, '')}".rstrip())
    spent = [f"{told['tokens']} tokens", f"{told['requests']} requests", f"{told['wall_s']} s"]
    if told["cost"]:
        spent.append(f"${cast('float', told['cost']):.4f}")
    lines.append("  " + ", ".join(spent))
    if faults := _faults(told):
        lines.append(f"  not right: {faults}")
    return lines


def _several(trials: Sequence[Trials[Task]], results: Sequence[Told]) -> list[str]:
    figures = list(dict.fromkeys(name for told in results for name in _figures(told)))
    rows = [["", "right", "", "95 %", *figures, "tokens", "USD"]]
    for name, told in zip(labels(results), results, strict=True):
        means = [_figures(told).get(figure) for figure in figures]
        rows.append(
            [
                name,
                _right(told),
                _percent(told["share"]),
                _bounds(told["interval"]),
                *("-" if mean is None else _number(mean["mean"]) for mean in means),
                str(told["tokens"]),
                _money(told["cost"]),
            ]
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [f"{trials[0].bench}: {', '.join(common(trials))}", *lines]


def as_markdown(
    trials: Sequence[Trials[Task]],
    results: Sequence[Told],
    command: str,
    where: str,
    about: Mapping[str, object],
    picture: str | None,
) -> str:
    """Return the page of trials, side by side where there are several.

    `where` says where the cases are from, `about` on what it ran, `picture` is a chart beside it.
    """
    bench = trials[0].bench
    title = ", ".join(labels(results) if len(results) == 1 else common(trials))
    how = [f"`{command}`", *([where] if where else []), ", ".join(f"{k} {v}" for k, v in about.items())]
    lines = [f"# {bench}: {title}", "", "; ".join(how) + ".", "", *_whole(trials, results)]
    if picture is not None:
        lines += ["", f"![Right answers]({picture})"]
    lines += ["", "Intervals are at 95 %: Wilson's of shares, the bootstrap's of means."]
    lines += ["", trials[0].note] if trials[0].note else []
    published = _published(trials)
    for name in [key[3:] for key in results[0] if key.startswith("by_")]:
        if len(results) == 1:
            lines += ["", *_group(trials[0], results[0], name)]
        else:
            lines += ["", *_side_by_side(results, name, published)]
    if published:
        sources = dict.fromkeys(one.source for one in published)
        lines += ["", f"*Published*, in italics: {'; '.join(sources)}."]
    return "\n".join([*lines, ""])


def labels(results: Sequence[Told]) -> list[str]:
    """Return who was tried in each result, in words: of several only that in which they differ."""
    about = [_about(told) for told in results]
    names = list(dict.fromkeys(name for each in about for name in each))
    if len(results) > 1:
        names = [name for name in names if len({each.get(name) for each in about}) > 1]
    return [", ".join(str(each[name]) for name in names if each.get(name)) or "-" for each in about]


def common(trials: Sequence[Trials[Task]]) -> list[str]:
    """Return what trials have in common, and for what they have not its name: `methods`."""
    names = list(dict.fromkeys(name for each in trials for name in each.about))
    found: list[str] = []
    for name in names:
        values = {each.about.get(name, "") for each in trials}
        found.append(f"{name}s" if len(values) > 1 else values.pop())
    return [value for value in found if value]


def _about(told: Told) -> dict[str, object]:
    """Return what stands between the name and the figures of a summary."""
    names = list(told)
    return {name: told[name] for name in names[names.index("name") + 1 : names.index("n")]}


def _published(trials: Sequence[Trials[Task]]) -> list[Published]:
    return list({one.name: one for each in trials for one in each.published}.values())


def _whole(trials: Sequence[Trials[Task]], results: Sequence[Told]) -> list[str]:
    figures = list(dict.fromkeys(name for told in results for name in _figures(told)))
    truths = list(dict.fromkeys(name for told in results for name in _truths(told)))
    head = ["", "cases", "right", "95 %", *truths, *(_titled(trials[0], name) for name in figures)]
    head += ["tokens in / out", "requests", "USD", "s a case", "without an answer", "wall time"]
    rows = [
        [
            name,
            str(told["n"]),
            f"{told['right']} ({_percent(told['share'])})",
            _bounds(told["interval"]),
            *(str(told.get(truth, "")) for truth in truths),
            *(_mean(_figures(told).get(figure)) for figure in figures),
            f"{told['input_tokens']} / {told['output_tokens']}",
            str(told["requests"]),
            _money(told["cost"]),
            _number(told["seconds_a_case"]),
            str(told["failed"]),
            f"{told['wall_s']} s",
        ]
        for name, told in zip(labels(results), results, strict=True)
    ]
    for one in _published(trials):
        if one.share is not None:
            rows.append([f"*{one.name}*", "", _percent(one.share), *[""] * (len(head) - 3)])
    lines = _table(head, rows)
    for name, told in zip(labels(results), results, strict=True):
        if faults := _faults(told):
            lines += ["", f"Not right, {name}: {faults}."]
    return lines


def _group(trials: Trials[Task], told: Told, name: str) -> list[str]:
    sums = cast("Mapping[str, Told]", told[f"by_{name}"])
    others = [one for one in trials.published if name in one.by]
    figures = list(dict.fromkeys(figure for one in sums.values() for figure in _figures(one)))
    head = [name, "cases", "right", "95 %", *(f"*{one.name}*" for one in others)]
    head += [*(_titled(trials, figure) for figure in figures), "tokens", "USD", "s a case"]
    rows = [
        [
            value,
            str(one["n"]),
            f"{one['right']} ({_percent(one['share'])})",
            _bounds(one["interval"]),
            *(_percent(_of(other, name).get(value)) for other in others),
            *(_mean(_figures(one).get(figure)) for figure in figures),
            str(one["tokens"]),
            _money(one["cost"]),
            _number(one["seconds_a_case"]),
        ]
        for value, one in sums.items()
    ]
    return _table(head, rows)


def _side_by_side(results: Sequence[Told], name: str, published: Sequence[Published]) -> list[str]:
    """Return a table of right answers by group: who in rows, or, of many values, in columns."""
    tables = [cast("Mapping[str, Told]", told.get(f"by_{name}", {})) for told in results]
    values = list(dict.fromkeys(value for sums in tables for value in sums))
    cells = [[_right(sums[value]) if value in sums else "" for value in values] for sums in tables]
    named = labels(results)
    if len(values) > _WIDE:
        return _table([name, *named], [[value, *row] for value, *row in zip(values, *cells, strict=True)])
    rows = [[who, *row] for who, row in zip(named, cells, strict=True)]
    rows += [
        [f"*{one.name}*", *(_percent(_of(one, name).get(value)) for value in values)]
        for one in published
        if name in one.by
    ]
    return _table([name, *values], rows)


def _of(one: Published, name: str) -> Mapping[str, float]:
    return one.by[name]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows),
    ]


def _group_lines(told: Told) -> list[str]:
    """Return the shares by the first group; the page has all."""
    key = next((key for key in told if key.startswith("by_")), None)
    sums = {} if key is None else cast("Mapping[str, Told]", told[key])
    width = max(map(len, sums), default=0)
    return [f"  {value:<{width}}  {_right(one):>12}  {_share(one)}" for value, one in sums.items()]


def _published_lines(published: Sequence[Published]) -> list[str]:
    """Return what others found, a line a source: as a whole, or by a group where they told no whole."""
    lines: dict[str, list[str]] = {}
    for one in published:
        shares = [f"{value} {_percent(share)}" for found in one.by.values() for value, share in found.items()]
        told = ", ".join(shares) if one.share is None else _percent(one.share)
        lines.setdefault(one.source, []).append(f"{one.name}: {told}")
    return [f"published ({source}): {'; '.join(found)}" for source, found in lines.items()]


def _figures(told: Told) -> Mapping[str, Told]:
    return cast("Mapping[str, Told]", told["figures"])


def _truths(told: Told) -> list[str]:
    return [name for name, value in told.items() if isinstance(value, int) and name not in _COUNTS]


def _faults(told: Told) -> str:
    return ", ".join(f"{name} {count}" for name, count in cast("Mapping[str, int]", told["faults"]).items())


def _titled(trials: Trials[Task], name: str) -> str:
    unit = trials.units.get(name, "")
    return f"{name}, {unit}" if unit else name


def _right(told: Told) -> str:
    return f"{told['right']} of {told['n']}"


def _share(told: Told) -> str:
    return f"{_percent(told['share'])}, {_bounds(told['interval'])}"


def _percent(share: object) -> str:
    return "-" if share is None else f"{cast('float', share) * 100:.1f} %"


def _bounds(interval: object) -> str:
    low, high = cast("Sequence[float]", interval)
    return f"{low * 100:.1f} to {high * 100:.1f} %"


def _mean(figure: Told | None) -> str:
    if figure is None:
        return "-"
    low, high = cast("Sequence[float]", figure["interval"])
    mean = _number(figure["mean"])
    return mean if math.isclose(low, high) else f"{mean} ({_number(low)} to {_number(high)})"


def _number(value: object) -> str:
    return "-" if value is None else f"{cast('float', value):.4g}"


def _money(cost: object) -> str:
    return "unknown" if cost is None else f"{cast('float', cost):.4f}"
