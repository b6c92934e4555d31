"""`agentflow bench`: a sub-command a suite, and `list` and `compare`."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from agentflow.errors import UserError
from agentflow_bench.measure import Setting, Suite

__all__ = ["SUITES", "app", "load_suite"]

SUITES = {"foundation": "The foundation: start-up, agents, endpoints, the journal, AsyncHow."}

Data = Annotated[Path | None, typer.Option(metavar="PATH", help="Where data lies that is not shipped.")]
Only = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this measure. Repeatable.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the report.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer repeats: rough figures.")]


def load_suite(name: str) -> Suite:
    """Return the suite `name`; its module is imported here. Raises `UserError` for an unknown one."""
    if name not in SUITES:
        near = get_close_matches(name, SUITES, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"allowed: {', '.join(SUITES)}"
        raise UserError(f"no suite `{name}` ({hint})")
    suite: Suite = importlib.import_module(f"agentflow_bench.{name}").suite()
    return suite


def _suite_command(name: str) -> Callable[..., None]:
    def command(
        only: Only = None,
        data: Data = None,
        out: Out = Path("benchmarks/results"),
        as_json: Json = False,
        quick: Quick = False,
    ) -> None:
        from agentflow_bench import report
        from agentflow_bench.runner import run_suite

        suite = load_suite(name)
        _check_names(suite, only or [])
        found = data or (
            Path(os.environ["AGENTFLOW_ASYNCHOW"]) if "AGENTFLOW_ASYNCHOW" in os.environ else None
        )
        outcomes = run_suite(suite, Setting(found, quick), only=only or (), said=_say)
        result = report.as_json(suite, outcomes, report.command_line())
        paths = [] if only else report.write_results(out, result, outcomes)
        _print(json.dumps(result, indent=2, ensure_ascii=False) if as_json else report.as_table(outcomes))
        for path in paths:
            _say(f"wrote {path}")
        if not result["ok"]:
            raise SystemExit(1)

    command.__doc__ = SUITES[name]
    return command


def _list() -> None:
    """List the suites and their measures."""
    for name in SUITES:
        suite = load_suite(name)
        _print(f"{name}: {suite.what}")
        for measure in suite.measures:
            _print(f"  {measure.name}: {measure.what}")


def _compare(before: Path, after: Path) -> None:
    """Compare two JSON results of a suite."""
    from agentflow_bench.report import compare

    _print(compare(before, after))


def _check_names(suite: Suite, names: list[str]) -> None:
    known = [measure.name for measure in suite.measures]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"allowed: {', '.join(known)}"
            raise UserError(f"suite {suite.name} has no measure `{name}` ({hint})")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _make_app() -> typer.Typer:
    made = typer.Typer(
        help="Measure agentflow against its bars.",
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
    )
    for name in SUITES:
        made.command(name)(_suite_command(name))
    made.command("list")(_list)
    made.command("compare")(_compare)
    return made


app = _make_app()
