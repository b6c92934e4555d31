"""Experiments that follow from one another: prompts in other words, the prompts, judges of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agentflow.batch.apis import Environment
from agentflow.batch.batch import Batch, Endpoints
from agentflow.batch.lines import read_lines, write_rows
from agentflow.batch.options import BatchOptions
from agentflow.batch.place import Folder, as_lines, filing
from agentflow.batch.report import BatchReport
from agentflow.errors import UserError
from agentflow.runtime import Run, Runtime
from agentflow_protocols.experiment import (
    PARSERS,
    Completed,
    ExperimentError,
    Record,
    Values,
    completed_of,
    judge_lines,
    judge_settings,
    original_line,
    post_rephrase_lines,
    rephrase_lines,
    rephrase_settings,
    rephrase_templates,
    template_name,
)

__all__ = ["Chain", "Follow", "JudgeFiles", "RephraseFiles", "read_completed_file"]

Follow = Callable[[Run[BatchReport]], object]
"""Told of each run that begins."""


@dataclass(slots=True, frozen=True)
class JudgeFiles:
    """A judge folder's templates and judges."""

    templates: dict[str, str]
    judges: dict[str, Values]

    @classmethod
    def read(cls, folder: Path, templates: Sequence[str], judges: Sequence[str]) -> JudgeFiles:
        """Read the folder. Raises `UserError`."""
        settings = _settings(folder)
        try:
            chosen = judge_settings(settings, list(judges))
        except ExperimentError as error:
            raise UserError(f"{folder / 'settings.json'}: {error}") from None
        return cls({template_name(name): _text(folder / name) for name in templates}, chosen)

    def lines(self, completed: Iterable[Completed]) -> Iterator[Values]:
        """Yield what the judges are asked about each answer; a prompt that failed has none."""
        for line in completed:
            if not line.failed:
                yield from judge_lines(line.whole, self.templates, self.judges)

    def write(self, completed: Path, folder: Path) -> tuple[Path, int]:
        """Write `judge-NAME.jsonl` for a completed file; return where, and how many prompts it has."""
        name = completed.stem
        path = folder / f"judge-{name}.jsonl"
        with filing():
            folder.mkdir(parents=True, exist_ok=True)
            lines = list(self.lines(read_completed_file(completed)))
            write_rows(lines, path)
        return path, len(lines)


@dataclass(slots=True, frozen=True)
class RephraseFiles:
    """A rephrase folder's templates and models, and how their answers become prompts."""

    templates: list[str]
    models: dict[str, Values]
    parser: Callable[[str], list[str]] | None
    remove_original: bool
    only: bool

    @classmethod
    def read(
        cls,
        folder: Path,
        templates: str,
        models: Sequence[str],
        parser: str | None,
        remove_original: bool,
        only: bool,
    ) -> RephraseFiles:
        """Read the folder. Raises `UserError`."""
        settings = _settings(folder)
        try:
            chosen = rephrase_settings(settings, list(models))
        except ExperimentError as error:
            raise UserError(f"{folder / 'settings.json'}: {error}") from None
        if parser is not None and parser not in PARSERS:
            raise UserError(f"no parser {parser!r}: there are {', '.join(PARSERS)}")
        found = rephrase_templates(_text(folder / templates))
        return cls(found, chosen, None if parser is None else PARSERS[parser], remove_original, only)


class Chain:
    """An experiment in a data folder, with what comes before and after it. Each part is resumed by itself."""

    def __init__(
        self,
        file: Path,
        data: Path,
        options: BatchOptions,
        *,
        move: bool = False,
        environment: Environment | None = None,
        endpoints: Endpoints | None = None,
        scorers: Sequence[str] = (),
        rephrase: RephraseFiles | None = None,
        judging: JudgeFiles | None = None,
    ) -> None:
        self._file = file
        self._data = data
        self._options = options
        self._move = move
        self._environment = environment
        self.endpoints = endpoints
        self._scorers = scorers
        self.rephrase = rephrase
        self.judging = judging

    async def work(self, runtime: Runtime, follow: Follow) -> list[BatchReport]:
        """Run the parts, the experiment itself first in what is returned. Raises `UserError`, `RunError`."""
        before: list[BatchReport] = []
        file, move = self._file, self._move
        if self.rephrase is not None:
            asked, file = await self._rephrased(self.rephrase, runtime, follow)
            before, move = [asked], True
            if self.rephrase.only:
                return before
        site = Folder(self._data, file, move=move)
        needs = self.judging is not None and not self._options.in_order
        options = replace(self._options, in_order=True) if needs else self._options
        main = await self._run(runtime, follow, site, options, self._scorers)
        if self.judging is None:
            return [main, *before]
        lines = self.judging.lines(read_completed_file(Path(main.outputs["in_order"])))
        judged = await self._follow_up(runtime, follow, f"judge-{site.name}", lines)
        return [main, *before, *judged]

    async def _rephrased(
        self, files: RephraseFiles, runtime: Runtime, follow: Follow
    ) -> tuple[BatchReport, Path]:
        """Ask for the prompts in other words; return the report, and the experiment of those words."""
        name = self._file.stem
        source = self._data / "input" / f".{name}.lines"
        with filing():
            source.parent.mkdir(parents=True, exist_ok=True)
        lines = as_lines(self._file, source)
        try:
            records = [line.content for line in read_lines(lines) if isinstance(line.content, Record)]
        finally:
            if lines != self._file:
                lines.unlink()
        if not records:
            raise UserError(f"{self._file}: no prompts in it")
        asked = (line for r in records for line in rephrase_lines(r.values, files.templates, files.models))
        (report,) = await self._follow_up(runtime, follow, f"rephrase-{name}", asked)
        made: list[Values] = [] if files.remove_original else [original_line(r.values) for r in records]
        for completed in read_completed_file(Path(report.outputs["in_order"])):
            made += post_rephrase_lines(completed, files.parser)
        path = self._data / "input" / f"post-rephrase-{name}.jsonl"
        with filing():
            write_rows(made, path)
        return report, path

    async def _follow_up(
        self, runtime: Runtime, follow: Follow, name: str, lines: Iterable[Values]
    ) -> list[BatchReport]:
        """Run an experiment of these lines; none when there are none."""
        path = self._data / "input" / f"{name}.jsonl"
        with filing():
            write_rows(lines, path)
            if not path.stat().st_size:
                path.unlink()
                return []
        options = replace(
            self._options, in_order=True, resume="fresh" if self._options.resume == "fresh" else "resume"
        )
        return [await self._run(runtime, follow, Folder(self._data, path, move=True), options, ())]

    async def _run(
        self, runtime: Runtime, follow: Follow, site: Folder, options: BatchOptions, scorers: Sequence[str]
    ) -> BatchReport:
        batch = Batch(site, options, endpoints=self.endpoints, environment=self._environment, scorers=scorers)
        async with runtime.start(batch) as run:
            follow(run)
            return (await run.result()).output


def read_completed_file(path: Path) -> Iterator[Completed]:
    """Read a completed file, prompto's or ours. Raises `UserError` for a line that is none."""
    with filing():
        for line in read_lines(path):
            content = line.content
            found = completed_of(content) if isinstance(content, Record) else content
            if not isinstance(found, Completed):
                raise UserError(f"{path}:{found.line}: {found.message}")
            yield found


def _settings(folder: Path) -> object:
    path = folder / "settings.json"
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise UserError(f"{path}: no JSON: {error}") from None


def _text(path: Path) -> str:
    with filing():
        try:
            return path.read_text("utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{path}: not UTF-8") from None
