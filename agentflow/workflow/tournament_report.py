"""The report of a tournament: as JSON, and as a page with its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import cast

import pydantic_core

from agentflow.errors import UserError
from agentflow.tournament import Standing, TournamentReport, history_picture, rating_picture
from agentflow.tournament.picture import title_of
from agentflow.tournament.scientist import ResearchReport
from agentflow_protocols.chat import Json

__all__ = ["REPORTS", "report_json", "research_json", "write_report", "write_research"]

REPORTS = (".html", ".md", ".svg", ".json")

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    ":root{color-scheme:light dark}svg{max-width:100%;height:auto}table{border-collapse:collapse}"
    "td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}pre{white-space:pre-wrap}"
)


def report_json(report: TournamentReport[object]) -> dict[str, Json]:
    """Return a report as JSON: of matches not what was said, of workers how many items they made."""
    found = cast("dict[str, Json]", pydantic_core.to_jsonable_python(replace(report, work={}, matches=[])))
    found["order_bias"] = dict(zip(("mean", "deviation"), report.order_bias, strict=True))
    matches: list[Json] = []
    for each in report.matches:
        told: dict[str, Json] = {"number": each.number, "first": each.first, "second": each.second}
        matches.append({**told, "mode": each.mode, "outcome": each.outcome})
    work: dict[str, Json] = {}
    for name, done in report.work.items():
        work[name] = {"kind": done.kind, "calls": done.calls, "tokens": done.tokens, "made": len(done.made)}
    best: Json = None
    if report.ranking:
        best = cast("list[Json]", found["ranking"])[0]
    return {"best": best, **found, "work": work, "matches": matches}


def research_json(report: ResearchReport) -> dict[str, Json]:
    """Return a co-scientist's report as JSON: that of its tournament, with plan, overview and groups."""
    told: dict[str, object] = {"plan": report.plan, "overview": report.overview, "groups": report.groups}
    told |= {"formats": report.formats, "withheld": report.withheld, "ended": report.ended}
    found = cast("dict[str, Json]", pydantic_core.to_jsonable_python(told))
    return {**report_json(cast("TournamentReport[object]", report.tournament)), **found}


def write_research(file: Path, report: ResearchReport) -> None:
    """Write a co-scientist's report to a .html, .md, .svg or .json file. Raises `UserError`."""
    ending = file.suffix.lower()
    if ending == ".json":
        _write(file, json.dumps(research_json(report), ensure_ascii=False, indent=1) + "\n")
    elif ending == ".svg":
        _write(file, _ranked(cast("TournamentReport[object]", report.tournament), report.k))
    else:
        _write(file, report.as_html() if ending == ".html" else report.as_markdown())


def write_report(file: Path, report: TournamentReport[object], *, k: int) -> None:
    """Write a report to a .html, .md, .svg or .json file. Raises `UserError` when it can't be written."""
    ending = file.suffix.lower()
    if ending == ".json":
        text = json.dumps(report_json(report), ensure_ascii=False, indent=1) + "\n"
    elif ending == ".svg":
        text = _ranked(report, k)
    else:
        text = _page(report, k) if ending == ".html" else _markdown(report, k)
    _write(file, text)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't write the report {file}: {error.strerror}") from None


def _ranked(report: TournamentReport[object], k: int) -> str:
    return rating_picture([*report.ranking, *report.withdrawn], k=k, title=report.goal)


def _facts(report: TournamentReport[object]) -> dict[str, str]:
    bias, spread = report.order_bias
    others = f"{report.void} void, {report.timed_out} timed out, {report.failed} failed"
    facts = {
        "Ended": report.stop_reason + (f": {report.halted}" if report.halted else ""),
        "Matches": f"{report.judged} judged, {others}",
        "Settled": f"{report.settled:.0%} of the best are expected to be truly among them",
        "Order bias": f"{bias:+.2f} ± {spread:.2f}, in quality, for what is shown first",
    }
    for name, work in report.work.items():
        if name != "match":
            made = f", {len(work.made)} items" if work.kind == "make" else ""
            facts[f"Worker {name}"] = f"{work.calls} calls, {work.tokens} tokens{made}"
    facts |= {f"Advice of {name}": text for name, text in report.advice.items() if text}
    return facts | {f"Fault of {name}": text for name, text in report.faults.items()}


def _markdown(report: TournamentReport[object], k: int) -> str:
    lines = [f"# {_line(report.goal)}", ""]
    lines += [f"- {name}: {_line(text)}" for name, text in _facts(report).items()]
    lines += ["", "| | item | quality | 80% | matches | from |", "|---:|---|---:|---|---:|---|"]
    for each in [*report.ranking, *report.withdrawn]:
        title = _line(title_of(each.item)).replace("|", "\\|")
        shown = f"~~{title}~~ ({_line(each.withdrawn)})" if each.withdrawn is not None else title
        low_high = f"{each.low:.2f} to {each.high:.2f}"
        figures = f"{each.quality:.2f} | {low_high} | {each.matches} | {each.source}"
        lines.append(f"| {each.rank or ''} | {shown} | {figures} |")
    for each in report.ranking[:k]:
        lines += ["", f"## {each.rank}. {_line(title_of(each.item))[:80]}", "", _whole(each)]
        lines += ["", *(f"- {note.by}: {_line(note.text)}" for note in each.notes)]
    return "\n".join(lines).rstrip() + "\n"


def _page(report: TournamentReport[object], k: int) -> str:
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


def _whole(each: Standing[object]) -> str:
    plain = pydantic_core.to_jsonable_python(each.item, fallback=str)
    if isinstance(plain, str):
        return plain
    if isinstance(plain, Mapping):
        return "\n".join(f"{name}: {_short(value)}" for name, value in plain.items())
    return _short(plain)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(text: str) -> str:
    return " ".join(text.split())
