"""The two forms that are numbers: an adjacency matrix, and compressed sparse rows of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from agentflow_protocols.plan.text import END, START, PlanFault, PlanTextError, Refs, clip

__all__ = ["encode_csr", "encode_matrix", "parse_csr", "parse_matrix"]

_ROW = re.compile(
    r"[\s\[({>*•|-]*+(?:[\"'`]?((?:step )?\w[\w-]{0,99})[\"'`]?\s?[:|][\s\[(]*+)?"
    r"((?:\d{1,9}(?!\d)[\s,;|]*+)++)[\])},;\s|]*+",
    re.ASCII | re.IGNORECASE,
)
_KEY = re.compile(
    r"[\s{\"'`*>•-]*(?:(?P<ptr>row[_ ]?(?:ptr|pointers?|offsets?)|indptr)|"
    r"(?P<col>col(?:umn)?s?(?:[_ ]?(?:idx|ind|indices|index|indexes))?|indices)|"
    r"(?P<val>data|values?))[\"'`*]*\s*[:=]\s*",
    re.IGNORECASE,
)
_ORDER = re.compile(r"[\s>*]*(?:(?:node|row|step)s?\s)?order[*]*\s*[:=]\s*(.+)", re.IGNORECASE)
_NUMBERS = re.compile(r"[\s\[(]*+((?:\d{1,9}(?!\d)[\s,;]*+)*+)[\])},;\s]*+", re.ASCII)
_WORD = re.compile(r"\w+(?:-\w+)*", re.ASCII)


def encode_matrix(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> str:
    """Return a row of 0 and 1 for each node; a 1 says that the column's comes after the row's."""
    order, rows = _rows(names, edges)
    width = len(order)
    lines = []
    for row in rows:
        marks = ["0"] * width
        for column in row:
            marks[column] = "1"
        lines.append(" ".join(marks))
    return "\n".join([_order_line(order), *lines])


def encode_csr(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> str:
    """Return where each row's columns begin, and the columns (from 0) of all rows one after another."""
    order, rows = _rows(names, edges)
    starts = [0]
    for row in rows:
        starts.append(starts[-1] + len(row))
    columns = [column for row in rows for column in row]
    return "\n".join([_order_line(order), f"row_ptr: {_joined(starts)}", f"columns: {_joined(columns)}"])


def parse_matrix(lines: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the edges of an adjacency matrix. Raises `PlanTextError`."""
    order, ordered_at = _order(lines, names)
    rows: list[tuple[int, list[str]]] = []
    for number, line in enumerate(lines, 1):
        if number == ordered_at:
            continue
        for piece in re.split(r"(?<=\])\s*,", line) if line.count("]") > 1 else [line]:
            found = _ROW.fullmatch(piece)
            if found is not None and (found[1] is None or found[1] in order or "step" in found[1].lower()):
                rows.append((number, found[2].replace(",", " ").replace(";", " ").replace("|", " ").split()))
    if rows and len(rows) > len(order) and rows[0][1] == [str(i + 1) for i in range(len(rows[0][1]))]:
        del rows[0]  # a line of column names
    if len(rows) == len(order) - 2 and ordered_at == 0:
        order = order[:-2]
    if len(rows) != len(order):
        at = rows[-1][0] if rows else 0
        raise PlanTextError(
            PlanFault(f"{len(rows)} rows of 0 and 1; expected {len(order)}, {_told(order)}", at)
        )
    wrong: list[PlanFault] = []
    edges: list[tuple[str, str]] = []
    for place, (number, marks) in enumerate(rows):
        if len(marks) != len(order):
            size = f"has {len(marks)} entries; expected {len(order)}"
            wrong.append(PlanFault(f"the row of {order[place]} {size}, {_told(order)}", number))
            continue
        for column, mark in enumerate(marks):
            if mark == "1":
                _add(order[place], order[column], number, edges, wrong)
            elif mark != "0":
                wrong.append(
                    PlanFault(f"`{clip(mark)}` in the row of {order[place]}; expected 0 or 1", number)
                )
    if wrong:
        raise PlanTextError(*wrong)
    return edges


def parse_csr(lines: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the edges of compressed sparse rows. Raises `PlanTextError`."""
    order, ordered_at = _order(lines, names)
    told, at = _numbers(lines)
    wrong = [
        PlanFault(f"there is no `{key}`; expected `{key}: NUMBERS`")
        for key in ("row_ptr", "columns")
        if key not in told
    ]
    if wrong:
        raise PlanTextError(*wrong)
    starts, columns = told["row_ptr"], told["columns"]
    if len(starts) == len(order) - 1 and ordered_at == 0:
        order = order[:-2]
    line = at["row_ptr"]
    if len(starts) != len(order) + 1:
        wrong.append(
            PlanFault(
                f"row_ptr has {len(starts)} numbers; expected {len(order) + 1}, one more than rows", line
            )
        )
    elif starts[0] != 0 or any(a > b for a, b in pairwise(starts)):
        wrong.append(PlanFault("row_ptr must begin with 0 and never fall", line))
    elif starts[-1] != len(columns):
        wrong.append(
            PlanFault(f"row_ptr ends with {starts[-1]}; expected {len(columns)}, as many as columns", line)
        )
    wrong += [
        PlanFault(f"column {column}; expected 0 to {len(order) - 1}", at["columns"])
        for column in columns
        if column >= len(order)
    ]
    edges: list[tuple[str, str]] = []
    if not wrong:
        for place, name in enumerate(order):
            for column in columns[starts[place] : starts[place + 1]]:
                _add(name, order[column], at["columns"], edges, wrong)
    if wrong:
        raise PlanTextError(*wrong)
    return edges


def _rows(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> tuple[list[str], list[list[int]]]:
    """Return the nodes in their order, and for each the numbers of what comes after it."""
    order = [*names, END, START]
    place = {name: number for number, name in enumerate(order)}
    rows: list[list[int]] = [[] for _ in order]
    waits = set()
    for earlier, later in edges:
        rows[place[earlier]].append(place[later])
        waits.add(later)
    for name in names:
        if not rows[place[name]]:
            rows[place[name]].append(place[END])
        if name not in waits:
            rows[-1].append(place[name])
    return order, [sorted(row) for row in rows]


def _order(lines: Sequence[str], names: Sequence[str]) -> tuple[list[str], int]:
    """Return the nodes in the order that a line states, else the common one, and that line's number."""
    refs = Refs(names)
    for number, line in enumerate(lines, 1):
        found = _ORDER.match(line)
        if found is None:
            heads = [
                refs.find(token)
                for token in line.replace("|", " ").replace(",", " ").split()[: len(names) + 3]
            ]
            if None not in heads and sorted(filter(None, heads)) == sorted([*names, START, END]):
                return [head for head in heads if head], number
            continue
        tokens = _WORD.findall(found[1])
        order = [refs.find(token) or "" for token in tokens]
        unknown = [refs.unknown(t, number) for t, name in zip(tokens, order, strict=True) if not name]
        if unknown:
            raise PlanTextError(*unknown)
        if sorted(order) == sorted([*names, START, END]) or sorted(order) == sorted(names):
            return order, number
        raise PlanTextError(PlanFault(f"the order must name every step once, {END} and {START}", number))
    return [*names, END, START], 0


def _numbers(lines: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Return the numbers after `row_ptr` and `columns`, over lines, and where they stand."""
    told: dict[str, list[int]] = {}
    at: dict[str, int] = {}
    key = ""
    for number, line in enumerate(lines, 1):
        found = _KEY.match(line)
        if found is not None:
            key = "row_ptr" if found["ptr"] else "columns" if found["col"] else "values"
            told[key], at[key] = [], number
            line = line[found.end() :]
        elif _ORDER.match(line):
            key = ""
        if key:
            numbers = _NUMBERS.fullmatch(line)
            if numbers is not None:
                told[key] += [int(one) for one in re.findall(r"\d+", numbers[1])]
            elif found is not None:
                raise PlanTextError(PlanFault(f"`{key}` must be whole numbers, 0 or more", number))
            else:
                key = ""
    return told, at


def _add(one: str, two: str, line: int, edges: list[tuple[str, str]], wrong: list[PlanFault]) -> None:
    if one == two:
        wrong.append(PlanFault(f"step {one} can't wait for itself", line))
    elif one == END or two == START:
        where = "END comes after" if one == END else "START comes before"
        wrong.append(PlanFault(f"`{one} -> {two}`: {where} every step", line))
    elif one != START and two != END:
        edges.append((one, two))


def _order_line(order: Sequence[str]) -> str:
    return f"order: {' '.join(order)}"


def _joined(numbers: Iterable[int]) -> str:
    return " ".join(str(number) for number in numbers)


def _told(order: Sequence[str]) -> str:
    shown = list(order) if len(order) <= 12 else [*order[:3], "…", *order[-3:]]
    return f"in the order {' '.join(shown)}"
