"""The input folder, watched: every experiment that comes is run, the oldest first."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from agentflow.batch.apis import Environment
from agentflow.batch.batch import Batch, Endpoints
from agentflow.batch.chain import Follow
from agentflow.batch.options import BatchOptions
from agentflow.batch.place import Folder, filing
from agentflow.batch.report import BatchReport
from agentflow.errors import RunError, UserError
from agentflow.runtime import Runtime
from agentflow.runtime.schema import open_reader
from agentflow.runtime.sqlite import JournalInUse
from agentflow_protocols.experiment import TIMESTAMP

__all__ = ["Watch"]

_LOOK_S = 1.0  # between two looks at the folder: a listing of names, also where a disk tells of no changes


class Watch:
    """Runs what lies in DATA/input, and what comes there, until it is cancelled.

    First come starts that an earlier watch left in the middle. A file that still grows waits. One that
    can't be run is set aside, as DATA/output/NAME/TS-refused-NAME, and never holds up the others; nor
    does one that another process is running, which waits for that one's end.
    """

    def __init__(
        self,
        data: Path,
        options: BatchOptions,
        *,
        environment: Environment | None = None,
        endpoints: Endpoints | None = None,
        once: bool = False,
    ) -> None:
        self._data = data
        self._options = options
        self._environment = environment
        self._endpoints = endpoints
        self._once = once
        self._seen: dict[Path, tuple[int, int]] = {}
        self._held: dict[Path, JournalInUse] = {}

    async def work(self, runtime: Runtime, follow: Follow) -> list[BatchReport]:
        """Run experiments as they come; with `once`, return when there are no more."""
        reports: list[BatchReport] = []
        with filing():
            for folder in ("input", "output", "media"):
                (self._data / folder).mkdir(parents=True, exist_ok=True)
        for site in list(self._unfinished()):
            reports += await self._run(runtime, follow, site)
        while True:
            ready = self._ready()
            if ready is not None:
                reports += await self._run(runtime, follow, Folder(self._data, ready, move=True))
                if not self._once:
                    reports.clear()
            elif self._once and not self._seen.keys() - self._held.keys():
                if self._held:
                    raise next(iter(self._held.values()))
                return reports
            else:
                self._held.clear()
                await asyncio.sleep(_LOOK_S)

    def _ready(self) -> Path | None:
        """Return the oldest experiment that has not grown since the last look."""
        now: dict[Path, tuple[int, int]] = {}
        ages: dict[Path, float] = {}
        for entry in os.scandir(self._data / "input"):
            if entry.name.endswith((".jsonl", ".csv")) and not entry.name.startswith(".") and entry.is_file():
                with suppress(FileNotFoundError):  # taken away since it was listed
                    found = entry.stat()
                    now[Path(entry.path)] = (found.st_size, found.st_mtime_ns)
                    ages[Path(entry.path)] = found.st_ctime
        still = [
            path for path, state in now.items() if self._seen.get(path) == state and path not in self._held
        ]
        self._seen = now
        return min(still, key=lambda path: (ages[path], path), default=None)

    def _unfinished(self) -> Iterator[Folder]:
        """Yield the experiments that a crash ended in the middle."""
        for folder in sorted((self._data / "output").iterdir()):
            site = Folder(self._data, self._data / "input" / f"{folder.name}.jsonl", move=True)
            last = site.last() if folder.is_dir() else None
            if last is None or site.file.exists():
                continue
            if not site.journal.exists():
                if not last.completed.exists():
                    yield site
                continue
            try:
                with closing(open_reader(site.journal)) as reader:
                    rows = reader.runs()
            except (RunError, UserError):
                continue
            if not rows or rows[0].status in ("running", "cancelled"):
                yield site

    async def _run(self, runtime: Runtime, follow: Follow, site: Folder) -> list[BatchReport]:
        batch = Batch(site, self._options, endpoints=self._endpoints, environment=self._environment)
        try:
            async with runtime.start(batch) as run:
                follow(run)
                return [(await run.result()).output]
        except JournalInUse as error:
            self._held[site.file] = error
        except UserError as error:
            self._refuse(site, str(error))
        return []

    def _refuse(self, site: Folder, why: str) -> None:
        """Set a file aside that can't be run, and say why in its log."""
        stamp = datetime.now().strftime(TIMESTAMP)
        with filing():
            site.output.mkdir(parents=True, exist_ok=True)
            if site.file.exists():
                os.replace(site.file, site.output / f"{stamp}-refused-{site.file.name}")
            with open(site.output / f"{stamp}-log-{site.name}.txt", "a", encoding="utf-8") as log:
                log.write(f"{datetime.now():%d-%m-%Y, %H:%M}: refused: {' '.join(why.split())}\n")
        self._seen.pop(site.file, None)
