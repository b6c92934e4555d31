"""A run on the command line: its clock, its view, Ctrl-C, and what is printed at its end."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from agentflow._cli.gantt import row_of
from agentflow._cli.ladder import typed
from agentflow._cli.say import as_json, as_text, error_line, fancy, note, print_data, print_error
from agentflow._cli.view import Board, Lines, Live, View, seconds_text
from agentflow.errors import AgentflowError, RunError, UserError
from agentflow.runtime import Run, Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow_protocols.chat import Json
from agentflow_protocols.trace import Event, event_to_line

if TYPE_CHECKING:
    from agentflow.workflow import LoadedWorkflow

__all__ = ["RunOptions", "Starter", "failure", "run_started", "run_workflow"]

_USAGE = ("input_tokens", "output_tokens", "cached_tokens", "requests")
_ENDING = tuple(s for name in ("SIGTERM", "SIGHUP") if (s := getattr(signal, name, None)) is not None)
Starter = Callable[[Runtime], Run[Json]]


@dataclass(slots=True)
class RunOptions:
    """How to run a workflow, as the command line says it."""

    file: Path
    journal: Path | None
    trace: Path | None = None
    clock: Literal["wall", "virtual", "paced"] = "wall"
    speed: float | None = None
    interactive: bool = False
    as_data: bool = False
    quiet: bool = False
    no_color: bool = False
    resume: str | None = None


@dataclass(slots=True)
class _Session:
    """One run in the hands of the command line."""

    workflow: LoadedWorkflow
    options: RunOptions
    board: Board = field(default_factory=Board)
    view: View | None = None
    interrupts: int = 0
    ended: signal.Signals | None = None
    stops: list[asyncio.Task[None]] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Take every event, at once."""
        self.board.take(event)
        if self.view is not None:
            self.view.take(event)

    def say(self, text: str) -> None:
        """Tell the person something while the run is shown."""
        if self.view is not None:
            self.view.say(text)
        else:
            note(text)


def run_workflow(workflow: LoadedWorkflow, inputs: Mapping[str, Json], options: RunOptions) -> int:
    """Run or resume the workflow, print what comes of it, and return the exit status."""

    def start(runtime: Runtime) -> Run[Json]:
        if options.resume is not None:
            return runtime.resume(options.resume, workflow)
        return runtime.start(workflow, dict(inputs))

    return run_started(workflow, start, options)


def run_started(workflow: LoadedWorkflow, start: Starter, options: RunOptions) -> int:
    """Run what `start` starts and return the exit status."""
    if options.journal is not None:
        try:
            options.journal.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"can't make the journal's folder {options.journal.parent}: {error.strerror}"
            ) from None
    if options.resume is None:
        workflow.check_endpoints()
    session = _Session(workflow, options)
    main: Coroutine[object, object, int] = _main(session, start)
    return run_in(lambda: new_loop(options.clock, options.speed), main)


async def _main(session: _Session, start: Starter) -> int:
    options = session.options
    trace = _open_trace(options.trace)
    loop = asyncio.get_running_loop()
    if not options.quiet:
        drawn = fancy(options.no_color) and options.clock != "virtual"
        session.view = Live(loop.time) if drawn else Lines()
    sinks: list[Callable[[Event], object]] = [session.take]
    if trace is not None:
        sinks.append(trace.take)
    try:
        async with Runtime(options.journal, sinks=sinks) as runtime:
            async with start(runtime) as run:
                status = await _follow(session, run)
    finally:
        if session.view is not None:
            session.view.close()
        fault = None if trace is None else trace.close()
    if fault is not None:
        print_error(f"can't write the trace {options.trace}: {fault}; the run went on without it")
    return status or int(fault is not None)


class _Trace:
    """Writes every event as a line. A full disk ends the trace, never the run."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._fault: str | None = None

    def take(self, event: Event) -> None:
        if self._fault is None:
            try:
                self._file.write(event_to_line(event) + "\n")
            except OSError as error:
                self._fault = error.strerror

    def close(self) -> str | None:
        """Close the file and return what went wrong with it."""
        try:
            self._file.close()
        except OSError as error:
            self._fault = self._fault or error.strerror
        return self._fault


def _open_trace(path: Path | None) -> _Trace | None:
    if path is None:
        return None
    try:
        return _Trace(open(path, "w", encoding="utf-8", buffering=1))
    except OSError as error:
        raise UserError(f"can't write the trace {path}: {error.strerror}") from None


async def _follow(session: _Session, run: Run[Json]) -> int:
    """Wait for the run's end and print what came of it."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, _stop, session, run)
    for ended in _ENDING:
        loop.add_signal_handler(ended, _end, session, run, ended)
    typing = asyncio.create_task(_interrupt_by_lines(session, run)) if session.options.interactive else None
    output: Json = None
    error: Exception | None = None
    try:
        output = (await run.result()).output
    except Exception as fault:
        error = fault
    finally:
        for caught in (signal.SIGINT, *_ENDING):
            loop.remove_signal_handler(caught)
        if typing is not None:
            typing.cancel()
            await asyncio.wait([typing])
        if session.stops:
            await asyncio.wait(session.stops)
        if session.view is not None:
            session.view.close()
            session.view = None
    return _report(session, run, output, error)


def _stop(session: _Session, run: Run[Json]) -> None:
    """Pause cleanly on the first Ctrl-C, cancel on the second; cancel what can't be gone on with at once."""
    session.interrupts += 1
    if not session.workflow.resumable:
        session.stops.append(asyncio.create_task(run.cancel("Ctrl-C")))
    elif session.interrupts == 1:
        session.say("pausing once the steps under way have ended; Ctrl-C again cancels")
        session.stops.append(asyncio.create_task(run.pause(stop=True)))
    elif session.interrupts == 2:
        session.stops.append(asyncio.create_task(run.cancel("Ctrl-C")))


def _end(session: _Session, run: Run[Json], caught: signal.Signals) -> None:
    """End the run and its programs, as the system asks; with a journal it can be resumed."""
    session.ended = caught
    session.stops.append(asyncio.create_task(run.cancel(caught.name)))


async def _interrupt_by_lines(session: _Session, run: Run[Json]) -> None:
    """Interrupt the run with each line that is typed; `/approve CALL` and `/deny CALL WHY` settle a call.

    In a tournament a line is an item, or a command to it.
    """
    from agentflow._cli.keyboard import Keyboard
    from agentflow_protocols.workflow import did_you_mean

    async with Keyboard() as keyboard:
        async for line in keyboard:
            command, _, rest = line.partition(" ")
            if command in ("/approve", "/deny"):
                call, _, why = rest.strip().partition(" ")
                if call not in session.board.approvals:
                    near = did_you_mean(call, session.board.approvals)
                    session.say(error_line(f"error: no call `{call[:60]}` waits{near}"))
                elif command == "/approve":
                    await run.approve(call)
                else:
                    await run.deny(call, why)
            elif line and session.workflow.workflow.tournament is not None:
                for told in typed(run, line).splitlines():
                    session.say(error_line(told))
            elif line and session.board.review:
                session.say("error: nobody in a review takes a line; Ctrl-C pauses it")
            elif line and session.board.steps:
                await _tell_steps(session, run, line)
            elif line:
                await run.interrupt(line)


async def _tell_steps(session: _Session, run: Run[Json], line: str) -> None:
    """Interrupt the agents that work in a plan: all of them, or that of the step in `STEP: TEXT`."""
    from agentflow.runtime.inbox import Interrupt, checked

    at_work = {s.id.partition("/")[2]: s for s in run.state.walk() if s.id in session.board.agents}
    step, colon, text = line.partition(":")
    if colon and step in at_work:
        at_work, line = {step: at_work[step]}, text.strip()
    if not at_work:
        session.say("error: no agent of the plan is at work")
    for state in at_work.values():
        try:
            await state.interrupt(checked(Interrupt("user", line)))
        except RunError as error:  # it has just ended
            session.say(error_line(f"error: {error}"))


def _report(session: _Session, run: Run[Json], output: Json, error: Exception | None) -> int:
    """Print the run's outcome and return the exit status."""
    options, status = session.options, run.status
    shown = session.board.steps or session.board.review
    begun = (run.usage.requests > 0 or bool(shown)) and options.resume is None
    wrong_use = isinstance(error, UserError) and not begun
    if options.as_data:
        print_data(as_json(_invalid(error) if wrong_use else _outcome(session, run, output, error)))
    elif error is None:
        print_data(as_text(output))
    if error is not None and status not in ("paused", "cancelled"):
        text = str(error) if isinstance(error, AgentflowError) else f"{type(error).__name__}: {error}"
        print_error(text)
    if not options.quiet:
        note(_summary(session, run))
    if session.ended is not None:
        if options.journal is not None and session.workflow.resumable:
            note(f"ended by {session.ended.name}; go on with: {_resuming(options, run)}")
        return 128 + session.ended
    if session.interrupts:
        if status == "paused" and options.journal is not None:
            note(f"paused; go on with: {_resuming(options, run)}")
        else:
            note("cancelled" if status != "paused" else "paused; without a journal it can't be resumed")
        return 130
    if error is None:
        return 0
    if session.board.review and status == "failed" and options.journal is not None and not wrong_use:
        note(f"go on with: {_resuming(options, run)}")  # what failed is asked again, and nothing else
    return 2 if wrong_use else 1


def _resuming(options: RunOptions, run: Run[Json]) -> str:
    """Return the command that goes on with the run."""
    words = ["agentflow", "run", str(options.file), "--resume", run.id]
    if str(options.journal) != ".agentflow/runs.db":
        words += ["--journal", str(options.journal)]
    return shlex.join(words)


def failure(error: BaseException, status: str = "failed") -> dict[str, object]:
    """Return the object that `run --json` prints when no run came to be."""
    return {
        "run_id": None,
        "status": status,
        "output": None,
        "error": {"type": type(error).__name__, "message": str(error)},
        "usage": dict.fromkeys(_USAGE, 0),
        "cost": None,
        "wall_s": 0.0,
        "virtual_s": None,
    }


def _invalid(error: Exception | None) -> dict[str, object]:
    """Return the object that `run --json` prints for wrong use, before a model was asked."""
    fault = {"file": None, "line": None, "column": None, "message": str(error)}
    return {"status": "invalid", "errors": [fault]}


def _outcome(session: _Session, run: Run[Json], output: Json, error: Exception | None) -> dict[str, object]:
    """Return the object that `run --json` prints; of a plan, with a row for each step."""
    usage, board = asdict(run.usage), session.board
    outcome: dict[str, object] = {
        "run_id": run.id,
        "status": run.status,
        "output": output,
        "error": None if error is None else {"type": type(error).__name__, "message": str(error)},
        "usage": {name: usage[name] for name in _USAGE},
        "cost": run.cost,
        "wall_s": round(run.wall_s, 6),
        "virtual_s": None if run.virtual_s is None else round(run.virtual_s, 6),
    }
    if board.steps:
        outcome["plan"] = [row_of(row, board.begun or 0.0) for row in board.steps.in_order()]
    return outcome


def _summary(session: _Session, run: Run[Json]) -> str:
    """Return the line that says what the run took, and what its calls would have one after another."""
    board = session.board
    took = run.wall_s if run.virtual_s is None else run.virtual_s
    parts = [f"{run.status} in {seconds_text(took)}"]
    if run.virtual_s is not None:
        parts.append(f"shown in {run.wall_s:.1f} s")
    if board.finished:
        parts.append(f"{board.finished} calls, one after another {seconds_text(board.call_seconds)}")
    parts.append(f"{run.usage.requests} requests")
    parts.append(f"{run.usage.total_tokens} tokens")
    if run.cost:
        parts.append(f"${run.cost:.4f}")
    return f"{session.workflow.name}: " + ", ".join(parts)
