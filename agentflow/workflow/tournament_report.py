"""The report of a tournament as JSON, and as a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pydantic_core

from agentflow.errors import UserError
from agentflow.tournament import TournamentReport, rating_picture
from agentflow.tournament.scientist import ResearchReport
from agentflow_protocols.chat import Json

__all__ = ["REPORTS", "report_json", "research_json", "write_report", "write_research"]

REPORTS = (".html", ".md", ".svg", ".json")


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
        text = report.as_html(k) if ending == ".html" else report.as_markdown(k)
    _write(file, text)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't write the report {file}: {error.strerror}") from None


def _ranked(report: TournamentReport[object], k: int) -> str:
    return rating_picture([*report.ranking, *report.withdrawn], k=k, title=report.goal)
