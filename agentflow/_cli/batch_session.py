"""A batch on the command line: its live line, Ctrl-C, and what is printed at its end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from agentflow._cli.say import as_json, error_line, fancy, note, print_data, print_error
from agentflow._cli.view import seconds_text
from agentflow.errors import AgentflowError, UserError
from agentflow.runtime import Run, Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow_protocols.trace import Custom, Event

if TYPE_CHECKING:
    from agentflow.batch import BatchReport
    from agentflow_protocols.chat import Json

__all__ = ["BatchView", "Show", "Stage", "run_batches"]

_PLAIN_S = 10.0  # between two lines of progress where there is no terminal
_ENDING = tuple(s for name in ("SIGTERM", "SIGHUP") if (s := getattr(signal, name, None)) is not None)


class Stage(Protocol):
    """Something that makes one or several batches, one after another."""

    async def work(self, runtime: Runtime, follow: Callable[[Run[BatchReport]], object]) -> list[BatchReport]:
        """Run them, tell `follow` of each, and return what came of them."""


@dataclass(slots=True)
class Show:
    """How much is shown."""

    as_data: bool = False
    quiet: bool = False
    no_color: bool = False


class BatchView:
    """Shows how far a batch is: a line that is drawn anew on a terminal, else one now and then."""

    def __init__(self, show: Show) -> None:
        self._quiet = show.quiet
        self._drawn = fancy(show.no_color) and not show.quiet
        self._last: float | None = None
        self._line = ""
        self._problems = 0

    def take(self, event: Event) -> None:
        """Take an event in."""
        if not isinstance(event, Custom) or not isinstance(event.data, dict):
            return
        data = event.data
        if event.name == "progress" and "prompts" in data:
            self._progress(event.time, data)
        elif event.name in ("batch.problem", "batch.note"):
            what = "can't be asked: " if event.name == "batch.problem" else ""
            self.say(f"line {data.get('line')}: {what}{data.get('message')}")
        elif event.name == "batch.stopped":
            self.say(f"no more of {data.get('model')} is asked: {data.get('message')}")

    def say(self, text: str) -> None:
        """Show a remark above the line."""
        self._clear()
        note(error_line(text), quiet=self._quiet)
        self._draw()

    def close(self) -> None:
        """Leave the last state there."""
        if self._line and self._drawn:
            sys.stderr.write("\n")
            sys.stderr.flush()
        self._line = ""

    def _progress(self, time: float, data: dict[str, Json]) -> None:
        self._line = _progress_line(data)
        if self._drawn:
            self._draw()
        elif self._last is None or time - self._last >= _PLAIN_S or data["done"] == data["prompts"]:
            self._last = time
            note(self._line, quiet=self._quiet)

    def _clear(self) -> None:
        if self._drawn and self._line:
            sys.stderr.write("\r\x1b[2K")

    def _draw(self) -> None:
        if self._drawn and self._line:
            import shutil

            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[2K{self._line[:width]}")
            sys.stderr.flush()


def _progress_line(data: dict[str, Json]) -> str:
    """Return how far a batch is, in one line."""
    done, prompts = int(str(data["done"])), int(str(data["prompts"]))
    parts = [f"{done:,} of {prompts:,} ({done * 100 // max(prompts, 1)} %)"]
    if data.get("failed"):
        parts.append(f"{data['failed']} failed")
    if data.get("rate_limited"):
        parts.append(f"{data['rate_limited']} refused")
    if isinstance(data.get("eta_s"), int | float) and done < prompts:
        parts.append(f"{seconds_text(float(str(data['eta_s'])))} left")
    if data.get("cost"):
        parts.append(f"${float(str(data['cost'])):.4f}")
    if data.get("binds") and done < prompts:
        parts.append(str(data["binds"]))
    return error_line(" · ".join(parts))


def run_batches(stage: Stage, show: Show) -> int:
    """Run what `stage` makes, show it, print its summary, and return the exit status."""
    return run_in(lambda: new_loop("wall", None), _main(stage, show))


@dataclass(slots=True)
class _Hand:
    """The run that Ctrl-C speaks to."""

    view: BatchView
    work: asyncio.Task[object] | None
    run: Run[BatchReport] | None = None
    presses: int = 0
    ended: signal.Signals | None = None
    tasks: tuple[asyncio.Task[None], ...] = ()

    def follow(self, run: Run[BatchReport]) -> None:
        self.run = run

    def stop(self) -> None:
        self.presses += 1
        if self.run is None or self.run.status not in ("running", "paused"):
            self._leave()
        elif self.presses == 1:
            self.view.say("stopping once the prompts under way are answered; Ctrl-C again leaves them")
            self._after(self.run, self.run.pause(stop=True))
        elif self.presses == 2:
            self._after(self.run, self.run.cancel("Ctrl-C"))

    def end(self, caught: signal.Signals) -> None:
        self.ended = caught
        if self.run is None or self.run.status not in ("running", "paused"):
            self._leave()
        else:
            self._after(self.run, self.run.cancel(caught.name))

    def _after(self, run: Run[BatchReport], ending: Coroutine[object, object, None]) -> None:
        """End a run; where it had come to its end meanwhile, end what would begin the next."""

        async def ended() -> None:
            await ending
            if run.status == "succeeded":
                self._leave()

        self.tasks += (asyncio.create_task(ended()),)

    def _leave(self) -> None:
        """End what waits for its next batch."""
        if self.work is not None:
            self.work.cancel()


async def _main(stage: Stage, show: Show) -> int:
    view = BatchView(show)
    hand = _Hand(view, asyncio.current_task())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, hand.stop)
    for ending in _ENDING:
        loop.add_signal_handler(ending, hand.end, ending)
    reports: list[BatchReport] = []
    error: Exception | None = None
    try:
        async with Runtime(sinks=[view.take]) as runtime:
            reports = await stage.work(runtime, hand.follow)
    except Exception as fault:
        error = fault
    except asyncio.CancelledError:
        if not (hand.presses or hand.ended):
            raise
    finally:
        hand.work = None  # it has ended
        for caught in (signal.SIGINT, *_ENDING):
            loop.remove_signal_handler(caught)
        if hand.tasks:
            await asyncio.wait(hand.tasks)
        view.close()
    if hand.presses or hand.ended:
        note("stopped; the same command goes on with it", quiet=show.quiet)
        return 130 if hand.ended is None else 128 + hand.ended
    if error is not None:
        return _failed(error, show)
    return _report(reports, show)


def _failed(error: Exception, show: Show) -> int:
    if isinstance(error, UserError):
        raise error
    text = str(error) if isinstance(error, AgentflowError) else f"{type(error).__name__}: {error}"
    if show.as_data:
        print_data(as_json({"status": "failed", "error": {"type": type(error).__name__, "message": text}}))
    print_error(text)
    return 1


def _report(reports: Sequence[BatchReport], show: Show) -> int:
    """Print what came of the batches and return the exit status."""
    if show.as_data:
        first, *others = [asdict(report) for report in reports] or [{"prompts": 0, "answered": 0}]
        if others:
            first["further"] = others
        print_data(as_json(first))
    for report in reports:
        if not show.as_data:
            print_data(report.output)
        note(_summary(report), quiet=show.quiet)
    return 0 if all(report.answered == report.prompts for report in reports) else 1


def _summary(report: BatchReport) -> str:
    """Return the line that a person reads at the end."""
    parts = [f"{report.answered} of {report.prompts} answered"]
    if report.skipped_finished:
        parts.append(f"{report.skipped_finished} of them before")
    if report.failed:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.errors.items()))
        parts.append(f"{report.failed} failed ({kinds}): the same command asks them again")
    if report.unasked:
        parts.append(f"{report.unasked} not asked ({report.stopped}): the same command goes on")
    parts.append(f"{report.requests} requests in {seconds_text(report.wall_s)}")
    if report.rate_limited:
        parts.append(f"{report.rate_limited} refused")
    if report.rate_used is not None:
        parts.append(f"{report.rate_used:.0%} of the limit used")
    parts.append(f"{report.tokens} tokens")
    if report.cost:
        parts.append(f"${report.cost:.4f}")
    return ", ".join(parts)
