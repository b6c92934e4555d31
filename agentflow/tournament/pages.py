"""Pages of a tournament's report: HTML with its pictures, in which what items say is text; and Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import TypeVar

import pydantic_core

from agentflow.tournament.picture import history_picture, rating_picture, title_of
from agentflow.tournament.report import Standing, TournamentReport

__all__ = ["cell", "html_page", "line", "markdown_page", "prose"]

Item = TypeVar("Item")

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    ":root{color-scheme:light dark}svg{max-width:100%;height:auto}table{border-collapse:collapse}"
    "td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}pre{white-space:pre-wrap}"
)

_TAG = re.compile(r"<(?=[a-zA-Z/!?])")
_BLOCK = re.compile(r"^(?=[^\S\n]*(?:#|```|~~~|[-=]+[^\S\n]*$))", re.M)


def _facts(report: TournamentReport[Item]) -> dict[str, str]:
    bias, spread = report.order_bias
    others = f"{report.void} void, {report.timed_out} timed out, {report.failed} failed"
    settled = f"{report.settled:.0%} of the best are expected to be truly among them"
    facts = {
        "Ended": report.stop_reason + (f": {report.halted}" if report.halted else ""),
        "Matches": f"{report.judged} judged, {others}",
        **({"Settled": settled} if len(report.ranking) > 1 else {}),
        "Order bias": f"{bias:+.2f} ± {spread:.2f}, in quality, for what is shown first",
    }
    for name, work in report.work.items():
        if name != "match":
            made = f", {len(work.made)} items" if work.kind == "make" else ""
            facts[f"Worker {name}"] = f"{work.calls} calls, {work.tokens} tokens{made}"
    facts |= {f"Advice of {name}": text for name, text in report.advice.items() if text}
    return facts | {f"Fault of {name}": text for name, text in report.faults.items()}


def markdown_page(report: TournamentReport[Item], k: int = 5) -> str:
    """Return a report as Markdown: how it went, the ranking, and the best `k` with their reviews."""
    lines = [f"# {line(report.goal)}", ""]
    lines += [f"- {name}: {line(text)}" for name, text in _facts(report).items()]
    lines += ["", "| | item | quality | 80% | matches | from |", "|---:|---|---:|---|---:|---|"]
    for each in [*report.ranking, *report.withdrawn]:
        title = cell(title_of(each.item))
        shown = title if each.withdrawn is None else f"~~{title}~~ ({cell(each.withdrawn)})"
        low_high = f"{each.low:.2f} to {each.high:.2f}"
        if each.withdrawn is not None and not each.matches:
            lines.append(f"|  | {shown} |  | never played | 0 | {cell(each.source)} |")
            continue
        figures = f"{each.quality:.2f} | {low_high} | {each.matches} | {cell(each.source)}"
        lines.append(f"| {each.rank or ''} | {shown} | {figures} |")
    for each in report.ranking[:k]:
        lines += ["", f"## {each.rank}. {line(title_of(each.item))[:80]}", "", prose(_whole(each))]
        lines += ["", *(f"- {note.by}: {line(note.text)}" for note in each.notes)]
    return "\n".join(lines).rstrip() + "\n"


def html_page(report: TournamentReport[Item], k: int = 5) -> str:
    """Return a report as one HTML page that needs nothing beside it; `markdown_page` with pictures."""
    parts = [f"<h1>{escape(_line(report.goal))}</h1>"]
    if report.ranking or report.withdrawn:
        parts.append(rating_picture([*report.ranking, *report.withdrawn], k=k, title="Ranking"))
    if report.history:
        parts.append(history_picture(report.history))
    rows = (f"<tr><th>{escape(name)}<td>{escape(text)}" for name, text in _facts(report).items())
    parts.append(f"<table>{''.join(rows)}</table>")
    for each in report.ranking[:k]:
        notes = "".join(f"<li>{escape(note.by)}: {escape(note.text)}" for note in each.notes)
        parts.append(f"<h2>{each.rank}. {escape(_line(title_of(each.item))[:80])}</h2>")
        parts.append(f"<pre>{escape(_whole(each))}</pre>{f'<ul>{notes}</ul>' if notes else ''}")
    title = escape(_line(report.goal)[:80])
    head = ['<!doctype html>\n<html lang="en">\n<meta charset="utf-8">', f"<title>{title}</title>"]
    return "\n".join([*head, f"<style>{_STYLE}</style>", *parts, ""])


def _whole(each: Standing[Item]) -> str:
    plain = pydantic_core.to_jsonable_python(each.item, fallback=str)
    if isinstance(plain, str):
        return plain
    if isinstance(plain, Mapping):
        return "\n".join(f"{name}: {_short(value)}" for name, value in plain.items())
    return _short(plain)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def prose(text: str, *, blocks: bool = False) -> str:
    """Return a text for a Markdown page in which it is no HTML; nor, without `blocks`, a heading or code."""
    text = _TAG.sub(r"\<", text)
    return text if blocks else _BLOCK.sub(r"\\", text)


def line(text: str) -> str:
    """Return a text as one line of a Markdown page, in which it is no HTML."""
    return _TAG.sub(r"\<", _line(text))


def cell(text: str) -> str:
    """Return a text for a cell of a table of a Markdown page."""
    return line(text).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())
