"""Batch: an experiment's prompts, asked at the speed that limits allow, and resumed after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from agentflow._version import __version__
from agentflow.batch.apis import Environment, Options, endpoint_of
from agentflow.batch.asking import Scorer
from agentflow.batch.completed import write_in_order, write_table
from agentflow.batch.lane import LaneKey
from agentflow.batch.lines import write_rows
from agentflow.batch.options import BatchOptions
from agentflow.batch.place import Beside, Folder, Site, filing
from agentflow.batch.progress import Progress
from agentflow.batch.report import BatchReport
from agentflow.batch.sitting import Sitting, take_up
from agentflow.endpoints import Allowance, Endpoint, Patience, Pool, Timeouts
from agentflow.errors import UserError
from agentflow.runtime.sqlite import SqliteJournal
from agentflow_protocols.chat import Json
from agentflow_protocols.experiment import (
    SCORERS,
    ExperimentError,
    Record,
    problems,
    queue_of,
    rate_of,
    scorer,
)

if TYPE_CHECKING:
    from agentflow.batch.place import Place
    from agentflow.batch.store import Store
    from agentflow.runtime.context import Context

__all__ = ["Batch", "Endpoints"]

Endpoints = Callable[[str, str, str | None, Options], Endpoint | None]
"""Told api, model, group and the batch's options, returns an endpoint; None lets the environment say."""


class Batch:
    """The prompts of an experiment file, as something that a Runtime runs; it gives a `BatchReport`."""

    output_type = BatchReport
    version = __version__

    def __init__(
        self,
        site: Site,
        options: BatchOptions | None = None,
        *,
        endpoint: Endpoint | None = None,
        endpoints: Endpoints | None = None,
        environment: Environment | None = None,
        scorers: Sequence[str | Scorer] = (),
    ) -> None:
        if endpoint is not None and endpoints is not None:
            raise UserError("give a batch one endpoint for all prompts, or endpoints, not both")
        self.site = site
        self.options = options or BatchOptions()
        self.name = site.name
        self._endpoint = endpoint
        self._endpoints = endpoints
        self._environment = environment or Environment()
        self.scorers = [_scorer(given) if isinstance(given, str) else given for given in scorers]
        self._rows: Iterable[Mapping[str, Json]] | None = None
        self._wants = any(given in SCORERS for given in scorers if isinstance(given, str))

    @classmethod
    def from_file(
        cls,
        file: str | PathLike[str],
        *,
        endpoint: Endpoint | None = None,
        endpoints: Endpoints | None = None,
        output: str | PathLike[str] | None = None,
        data_folder: str | PathLike[str] | None = None,
        options: BatchOptions | None = None,
        scorers: Sequence[str | Scorer] = (),
    ) -> Batch:
        """Return the batch of a `.jsonl` or `.csv` file.

        With `endpoint` every prompt is asked of it, whatever `api` and `model_name` say; else
        they say where, and the environment holds addresses and keys. Answers go to `output`, by
        default `NAME-completed.jsonl` beside the file; with `data_folder` to its folders, which
        are prompto's.
        """
        path = Path(file)
        if output is not None and data_folder is not None:
            raise UserError("a batch has an output file or a data folder, not both")
        if data_folder is not None:
            site: Site = Folder(Path(data_folder), path)
        else:
            site = Beside(path, Path(output) if output else path.with_name(f"{path.stem}-completed.jsonl"))
        return cls(site, options, endpoint=endpoint, endpoints=endpoints, scorers=scorers)

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Json]],
        output: str | PathLike[str],
        *,
        endpoint: Endpoint | None = None,
        endpoints: Endpoints | None = None,
        options: BatchOptions | None = None,
        scorers: Sequence[str | Scorer] = (),
    ) -> Batch:
        """Return the batch of some records, such as `{"prompt": …}`; answers go to the file `output`."""
        out = Path(output)
        file = out.with_name(f"{out.stem}-prompts.jsonl")
        batch = cls(Beside(file, out), options, endpoint=endpoint, endpoints=endpoints, scorers=scorers)
        batch._rows = rows
        return batch

    def __repr__(self) -> str:
        return f"Batch({str(self.site.file)!r})"

    async def __run__(self, context: Context[object], input: object = None, /) -> BatchReport:
        """Ask what has no answer yet. Raises `UserError` before anything is sent, `RunError` for the disk."""
        began = time.monotonic()
        if self._rows is not None:
            with filing():
                self.site.file.parent.mkdir(parents=True, exist_ok=True)
                write_rows(self._rows, self.site.file)
        self.site.check()
        journal = SqliteJournal(self.site.journal)
        await journal.open()
        try:
            place, store = await take_up(self, journal)
            sitting = Sitting(self, context, place, store)
            try:
                progress = await sitting.work()
            except BaseException as error:
                store.end(
                    "cancelled" if not isinstance(error, Exception) else "failed", None, str(error)[:500]
                )
                raise
            report = await self._report(progress, place, store)
            report.wall_s = round(time.monotonic() - began, 3)
            store.end("succeeded" if report.answered == report.prompts else "failed", report)
        finally:
            await journal.aclose()
        return report

    async def _report(self, progress: Progress, place: Place, store: Store) -> BatchReport:
        options = self.options
        outputs: dict[str, str] = {}
        if options.in_order:
            await write_in_order(place, store, place.in_order, failed=True)
            outputs["in_order"] = str(place.in_order)
        if options.table:
            write_table(place.completed, place.table)
            outputs["table"] = str(place.table)
        return BatchReport(
            prompts=progress.prompts,
            answered=progress.skipped + progress.answered,
            failed=progress.failed,
            skipped_finished=progress.skipped,
            requests=progress.requests,
            rate_limited=progress.refused,
            rate_used=progress.rate_used(),
            tokens=progress.tokens,
            cost=progress.cost,
            output=str(place.completed),
            unasked=progress.prompts - progress.done,
            stopped=progress.stopped,
            errors=progress.errors,
            outputs=outputs,
        )

    @property
    def assumed_api(self) -> str | None:
        """The api by whose rules prompts are read when one endpoint answers them all."""
        return None if self._endpoint is None else "openai"

    def faults(self, record: Record) -> list[str]:
        """Return what keeps a prompt from being asked."""
        if self._endpoint is not None:
            values: dict[str, Json] = {"model_name": self._endpoint.name, **record.values, "api": "openai"}
            record = Record(record.line, values)
        wrong = problems(record)
        if self._wants and record.values.get("expected_response") is None:
            wrong.append("`expected_response` is missing, with which a scorer compares")
        return wrong

    def lane_of(self, record: Record) -> LaneKey | None:
        """Return the lane of a prompt, None when it can't be asked."""
        if self.faults(record):
            return None
        if self._endpoint is not None:
            return LaneKey("", "", self._endpoint.name)
        options = self.options
        queue = queue_of(record, parallel=options.parallel, rates=options.rates)
        return LaneKey(queue, record.api, record.model, record.group)

    def endpoint_of(self, key: LaneKey) -> Endpoint:
        """Return the endpoint of a lane. Raises `UserError` when it can't be used."""
        if self._endpoint is not None:
            return self._endpoint
        told = self._told(key)
        found = None if self._endpoints is None else self._endpoints(key.api, key.model, key.group, told)
        endpoint = found or endpoint_of(key.api, key.model, self._environment, **told)
        if self.options.usd is not None and endpoint.price is None:
            raise UserError(
                f"{endpoint.name}: a budget in USD needs a price: give it one in a file for --endpoints,"
                " or a budget in tokens"
            )
        return endpoint

    def _told(self, key: LaneKey) -> Options:
        options = self.options
        told = Options(
            retry=options.max_attempts,
            tokens_per_minute=options.tokens_per_minute,
            concurrency=options.concurrency,
            pool=self._pool(key.queue),
            allowance=self._allowance,
        )
        if options.timeout is None:
            told["patience"] = Patience()
        else:
            told["timeouts"] = Timeouts(first=options.timeout, idle=options.timeout, total=None)
        return told

    def rate_of(self, queue: str) -> float | None:
        """Return the requests a minute that are given for a queue, None where none are."""
        options = self.options
        return rate_of(queue, options.rates if options.parallel else {}, options.max_queries)

    def _pool(self, queue: str) -> Pool | None:
        """Return what the models of a queue share, None where no limit is given for it."""
        rate = self.rate_of(queue)
        if rate is None:
            return None
        if queue not in self._pools:
            self._pools[queue] = Pool(queue, requests_per_minute=rate)
        return self._pools[queue]

    @cached_property
    def _pools(self) -> dict[str, Pool]:
        return {}

    @cached_property
    def _allowance(self) -> Allowance | None:
        options = self.options
        if options.tokens is None and options.usd is None:
            return None
        return Allowance(tokens=options.tokens, usd=options.usd)


def _scorer(name: str) -> Scorer:
    """Return prompto's scorer of that name, as one that says what it adds."""
    try:
        score = scorer(name)
    except ExperimentError as error:
        raise UserError(str(error)) from None
    return lambda values: {name: score(values)}
