"""`agentflow bench asynchow`: a model asked AsyncHow's questions by a method; without a model, the proofs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentflow._cli.say import error_line
from agentflow.errors import UserError
from agentflow.plan.methods import method_of
from agentflow.runtime import Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow_bench.asynchow.original import fetch
from agentflow_bench.asynchow.questions import Question, draw, read_questions
from agentflow_bench.asynchow.report import as_markdown, as_svg, as_text, methods_markdown
from agentflow_bench.asynchow.run import Asker, Asking, Row, Tally
from agentflow_bench.asynchow.wording import Wording
from agentflow_bench.report import command_line, environment
from agentflow_protocols.plan import FORMS

__all__ = ["Progress", "ask_model", "asking_of", "run_questions", "write", "write_methods"]

_FAULTS = 3  # that are told; the rows have all
_PLAIN_S = 10.0  # between two lines of progress where there is no terminal


def asking_of(
    model: str,
    method: str,
    form: str,
    concurrency: int,
    *,
    wording: Path | None = None,
    base_url: str | None = None,
    api_key_env: str | None = None,
    temperature: str = "0",
    max_tokens: int | None = None,
) -> Asking:
    """Return who is asked and how. Raises `UserError`."""
    if form not in FORMS:
        raise UserError(f"--form {form}: allowed are {', '.join(FORMS)}")
    if concurrency < 1:
        raise UserError(f"--concurrency must be 1 or more, not {concurrency}")
    if max_tokens is not None and max_tokens < 1:
        raise UserError(f"--max-tokens must be 1 or more, not {max_tokens}")
    try:
        warmth = None if temperature == "none" else float(temperature)
    except ValueError:
        raise UserError(f"--temperature {temperature}: a number, or none to send none") from None
    return Asking(
        model,
        method_of(method),
        next(one for one in FORMS if one == form),
        concurrency,
        None if wording is None else Wording(wording),
        base_url,
        api_key_env,
        warmth,
        max_tokens,
    )


def ask_model(
    askings: Sequence[Asking],
    data: Path | None,
    *,
    count: int | None,
    fetched: bool,
    fresh: bool,
    out: Path,
    as_data: bool,
    journals: Path = Path(".agentflow"),
) -> int:
    """Ask the questions by one method after the other, write and print what came of it.

    Each has its own journal, and so goes on where it was. Return the exit status.
    """
    askings = list({asking.name: asking for asking in askings}.values())
    if count is not None and count < 1:
        raise UserError(f"--n must be 1 or more, not {count}")
    path = fetch() if fetched else data
    questions = draw(read_questions(path), count)
    where = "the project's own sample" if path is None else f"{len(questions)} of {path.name or path}"
    results: list[dict[str, object]] = []
    for asking in askings:
        if len(askings) > 1:
            sys.stderr.write(f"{asking.method}:\n")
        try:
            rows, result = _ask(asking, questions, journals, fresh=fresh)
        except KeyboardInterrupt:
            sys.stderr.write("stopped; the same command goes on with it\n")
            return 130
        results.append(result)
        _tell(write(out, asking.name, rows, result, where))
    if len(askings) > 1:
        _tell(write_methods(out, askings[0].all_methods, results, where))
    told: object = results if len(askings) > 1 else results[0]
    print(json.dumps(told, indent=2, ensure_ascii=False) if as_data else as_text(*results))
    return 1 if any(result["failed"] for result in results) else 0


def _ask(
    asking: Asking, questions: Sequence[Question], journals: Path, *, fresh: bool
) -> tuple[list[Row], dict[str, object]]:
    """Ask by one method; return the rows and the figures."""
    journal = journals / f"{asking.name}.db"
    if fresh:
        for file in journals.glob(f"{asking.name}.db*"):
            file.unlink()
    journal.parent.mkdir(parents=True, exist_ok=True)
    progress = Progress(len(questions))
    began = time.perf_counter()
    try:
        rows = run_in(lambda: new_loop("wall"), run_questions(asking, questions, journal, progress))
    finally:
        progress.end()
    return rows, progress.tally.as_json(asking, time.perf_counter() - began)


def _tell(files: Sequence[Path]) -> None:
    for file in files:
        sys.stderr.write(f"wrote {file}\n")


async def run_questions(
    asking: Asking, questions: Sequence[Question], journal: Path | None, progress: Progress
) -> list[Row]:
    """Return the row of each question, in the questions' order."""
    asker = Asker(asking, questions)
    rows: dict[str, Row] = {}
    async with Runtime(journal=journal) as runtime:
        async with asker.rows(runtime) as results:
            async for result in results:
                row = asker.row(result)
                rows[str(row["id"])] = row
                progress.take(row)
                await asyncio.sleep(0)
    return [rows[question.id] for question in questions]


def write(out: Path, name: str, rows: Sequence[Row], result: dict[str, object], where: str) -> list[Path]:
    """Write rows, page and plot into `out`, and return their paths."""
    texts = {
        "jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
        "md": as_markdown(result, command_line(), where, environment()),
        "svg": as_svg(result),
    }
    return _written(out, name, texts)


def write_methods(out: Path, name: str, results: Sequence[dict[str, object]], where: str) -> list[Path]:
    """Write the page and the plot of several methods into `out`, and return their paths."""
    page = methods_markdown(name, results, command_line(), where, environment())
    return _written(out, name, {"md": page, "svg": as_svg(*results)})


def _written(out: Path, name: str, texts: Mapping[str, str]) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for ending, text in texts.items():
        path = out / f"{name}.{ending}"
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


class Progress:
    """How far it is, and how many were right, in one line on stderr."""

    def __init__(self, count: int) -> None:
        self.tally = Tally()
        self._count = count
        self._drawn = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._last = time.monotonic()

    def take(self, row: Row) -> None:
        """Take a row in, and show where things stand now and then."""
        self.tally.count(row)
        if row["error"] is not None and self.tally.failed <= _FAULTS:
            self._say(f"{row['id']}: {row['error']}")
        now = time.monotonic()
        if now - self._last >= (0.1 if self._drawn else _PLAIN_S):
            self._last = now
            self._show()

    def end(self) -> None:
        """Show the last state."""
        self._show()
        if self._drawn:
            sys.stderr.write("\n")

    def _say(self, line: str) -> None:
        start = "\r\x1b[2K" if self._drawn else ""
        sys.stderr.write(f"{start}{error_line(line)}\n")

    def _show(self) -> None:
        tally = self.tally
        share = f"{tally.right / tally.asked:.1%} right" if tally.asked else "nothing answered yet"
        parts = [f"{tally.asked:,} of {self._count:,}", share, f"{tally.tokens:,} tokens"]
        if tally.cost:
            parts.append(f"${tally.cost:.4f}")
        if tally.failed:
            parts.append(f"{tally.failed} failed")
        line = " · ".join(parts)
        sys.stderr.write(f"\r\x1b[2K{line}" if self._drawn else f"{line}\n")
        sys.stderr.flush()
