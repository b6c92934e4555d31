"""`agentflow runs`: look into a journal, go on with its runs, command those under way."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from agentflow._cli.options import DEFAULT_JOURNAL, Inputs, JournalFile, Json, Model, NoColor, Quiet
from agentflow._cli.say import as_json, as_text, note, print_data, table

if TYPE_CHECKING:
    from agentflow.runtime.journal import RunRecord, RunRow
    from agentflow.runtime.schema import Reader
    from agentflow_protocols.chat import Json as JsonValue

__all__ = [
    "approve",
    "cancel",
    "deny",
    "export",
    "fork",
    "full_id",
    "gc",
    "interrupt",
    "list_runs",
    "reader_of",
    "resume",
    "runs",
    "send",
    "show",
    "tree",
]

_STATUSES = ("cancelled", "failed", "limit", "paused", "running", "succeeded")
_APPROVE = "approve/"

RunId: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="A run's id, or its beginning.")]
File: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="The run's workflow file.")]
Speed: TypeAlias = Annotated[
    float | None, typer.Option("--speed", metavar="N", help="Virtual time, N seconds a wall second.")
]
VirtualTime: TypeAlias = Annotated[bool, typer.Option("--virtual-time", help="Waiting takes no time at all.")]

runs = typer.Typer(
    name="runs",
    help="Look into a journal, go on with its runs, command those under way.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@runs.command("list")
def list_runs(
    status: Annotated[str | None, typer.Option("--status", help="Only runs of this status.")] = None,
    journal: JournalFile = DEFAULT_JOURNAL,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """List the runs of a journal, the newest first."""
    from agentflow.errors import UserError
    from agentflow_protocols.workflow import did_you_mean, one_of

    if status is not None and status not in _STATUSES:
        near = did_you_mean(status, _STATUSES)
        raise UserError(f"--status: no status `{status[:40]}`; allowed: {one_of(_STATUSES)}{near}")
    with reader_of(journal) as reader:
        rows = [_row(row) for row in reader.runs(status)]
    if as_data:
        print_data(as_json(rows))
        return
    for row in rows:
        row["started"] = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(str(row["started"]))))
    print_data(table(rows, ("id", "name", "status", "started", "seconds", "error")))


@runs.command()
def show(
    id: RunId,
    journal: JournalFile = DEFAULT_JOURNAL,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show a run: its state, output, steps, and what it waits for."""
    with reader_of(journal) as reader:
        id = full_id(reader, id)
        records = reader.load(id)
        waiting = [(run, name) for run in records for name, _ in reader.waiting(run)]
    steps = [_step(run, record) for run, record in records.items()]
    data = _row(records[id].row) | {
        "steps": [step for some in steps for step in some],
        "waiting": [{"run": run, "name": name} for run, name in waiting],
        "output": _output(records[id]),
    }
    if as_data:
        print_data(as_json(data))
        return
    for name in ("id", "name", "kind", "status", "key", "seconds", "error"):
        if data[name] is not None:
            print_data(f"{name + ':':<9}{data[name]}")
    for entry in waiting:
        print_data(f"waits for {entry[1]} ({entry[0]})")
    print_data(table([step for some in steps for step in some], ("key", "status", "seconds", "run", "error")))
    if data["output"] is not None:
        print_data(f"output: {as_text(data['output'])}")


@runs.command()
def tree(
    id: RunId,
    journal: JournalFile = DEFAULT_JOURNAL,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show a run and all below it: live while it is under way, else from the journal."""
    from agentflow.errors import RunError
    from agentflow.runtime.control import command

    with reader_of(journal) as reader:
        id = full_id(reader, id)
        records = reader.load(id)
    try:
        text = str(command(journal, {"command": "tree", "run": id}))
    except RunError:
        text = "\n".join(_branch(run, record) for run, record in sorted(records.items()))
    print_data(as_json({"run": id, "tree": text.split("\n")}) if as_data else text)


@runs.command()
def resume(
    id: RunId,
    file: File,
    journal: JournalFile = DEFAULT_JOURNAL,
    model: Model = None,
    speed: Speed = None,
    virtual_time: VirtualTime = False,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Go on with a run; the same as `agentflow run FILE --resume ID`."""
    from agentflow._cli.run import run

    with reader_of(journal) as reader:
        id = full_id(reader, id)
    run(
        file,
        journal=journal,
        resume=id,
        model=model,
        speed=speed,
        virtual_time=virtual_time,
        as_data=as_data,
        quiet=quiet,
        no_color=no_color,
    )


@runs.command()
def fork(
    id: RunId,
    file: File,
    after: Annotated[str, typer.Option("--after", metavar="KEY", help="The last step to keep.")],
    inputs: Inputs = None,
    journal: JournalFile = DEFAULT_JOURNAL,
    model: Model = None,
    speed: Speed = None,
    virtual_time: VirtualTime = False,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Go on from a copy of a run as it was after a step, with other inputs where they are given."""
    from agentflow._cli.run import given_inputs
    from agentflow._cli.session import RunOptions, run_started
    from agentflow.workflow import load

    with reader_of(journal) as reader:
        id = full_id(reader, id)
        given = _recorded_inputs(reader, id) if inputs else {}
    workflow = load(file, model=model)
    changed = workflow.read_inputs(given | given_inputs(workflow, inputs)) if inputs else None
    options = RunOptions(
        file=file,
        journal=journal,
        clock="virtual" if virtual_time else "wall" if speed is None else "paced",
        speed=speed,
        as_data=as_data,
        quiet=quiet,
        no_color=no_color,
    )
    status = run_started(
        workflow, lambda runtime: runtime.fork(id, workflow, after=after, input=changed), options
    )
    raise typer.Exit(status)


@runs.command()
def cancel(
    id: RunId,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    journal: JournalFile = DEFAULT_JOURNAL,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Cancel a run that is under way in another process."""
    _command(journal, id, as_data, quiet, {"command": "cancel", "reason": reason})


@runs.command()
def interrupt(
    id: RunId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What its agent is told.")],
    journal: JournalFile = DEFAULT_JOURNAL,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Tell an agent something while it is at work; of a plan, the one that is, or the one named RUN/STEP."""
    _command(journal, id, as_data, quiet, {"command": "interrupt", "text": text})


@runs.command()
def send(
    id: RunId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The event that it waits for.")],
    value: Annotated[str, typer.Argument(metavar="JSON", help="The event's value.")] = "null",
    journal: JournalFile = DEFAULT_JOURNAL,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Let an outside event happen that a run waits for."""
    import json

    from agentflow.errors import UserError

    try:
        read = json.loads(value)
    except ValueError as error:
        raise UserError(f"the value is not JSON: {error}") from None
    _command(journal, id, as_data, quiet, {"command": "send", "name": name, "value": read})


@runs.command()
def approve(
    id: RunId,
    call: Annotated[str, typer.Argument(metavar="CALL", help="The call's id.")],
    journal: JournalFile = DEFAULT_JOURNAL,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Approve a call that waits for a person."""
    _must_wait(journal, id, call)
    _command(journal, id, as_data, quiet, {"command": "approve", "call": call})


@runs.command()
def deny(
    id: RunId,
    call: Annotated[str, typer.Argument(metavar="CALL", help="The call's id.")],
    why: Annotated[str, typer.Option("--why", help="What the model is told.")] = "",
    journal: JournalFile = DEFAULT_JOURNAL,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Deny a call that waits for a person."""
    _must_wait(journal, id, call)
    _command(journal, id, as_data, quiet, {"command": "deny", "call": call, "why": why})


@runs.command()
def export(
    id: RunId,
    journal: JournalFile = DEFAULT_JOURNAL,
    as_data: Json = True,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Print everything that the journal knows of a run, as JSON."""
    with reader_of(journal) as reader:
        records = reader.load(full_id(reader, id))
    print_data(as_json([_exported(record) for record in records.values()]))


@runs.command()
def gc(
    older_than: Annotated[str, typer.Option("--older-than", metavar="AGE", help="30d, 12h.")] = "30d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
    journal: JournalFile = DEFAULT_JOURNAL,
    as_data: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Delete runs that ended long ago. Paused and unfinished ones stay."""
    import asyncio

    from agentflow.errors import UserError
    from agentflow_protocols.duration import parse_duration
    from agentflow_protocols.errors import RemoteProtocolError

    try:
        before = time.time() - parse_duration(older_than)
    except RemoteProtocolError as error:
        raise UserError(f"--older-than: {error}") from None
    with reader_of(journal) as reader:
        ended = ("succeeded", "failed", "cancelled", "limit")
        old = [row.id for row in reader.runs() if row.status in ended and (row.ended or row.started) < before]
    if not dry_run and old:
        asyncio.run(_delete(journal, old))
    if as_data:
        print_data(as_json({"deleted": [] if dry_run else old, "found": old}))
    else:
        print_data(f"{len(old)} runs {'would be ' if dry_run else ''}deleted")


async def _delete(journal: Path, ids: list[str]) -> None:
    from agentflow.runtime.sqlite import SqliteJournal

    owned = SqliteJournal(journal)
    await owned.open()
    try:
        for id in ids:
            await owned.delete(id)
    finally:
        await owned.aclose()


def reader_of(journal: Path) -> _Closing:
    """Return a journal's reader, to be used by `with`."""

    from agentflow.runtime.schema import open_reader

    return _Closing(open_reader(journal))


class _Closing:
    """A journal's reader, closed after the block."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __enter__(self) -> Reader:
        return self._reader

    def __exit__(self, *error: object) -> None:
        self._reader.close()


def full_id(reader: Reader, id: str) -> str:
    """Return the id of the one run whose id begins with `id`. Raises `UserError`."""
    from agentflow.errors import UserError
    from agentflow_protocols.workflow import did_you_mean

    if reader.load(id):
        return id
    root, slash, below = id.partition("/")
    if slash:
        root = full_id(reader, root)
        known, id = reader.load(root), f"{root}/{below}"
        if id in known:
            return id
        raise UserError(f"no run `{id[:120]}`: see `agentflow runs tree {root}`{did_you_mean(id, known)}")
    ids = [row.id for row in reader.runs()]
    found = [known for known in ids if known.startswith(id)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} runs begin with `{id[:60]}`" if found else f"no run `{id[:60]}` in the journal"
    raise UserError(f"{what}: see `agentflow runs list`{did_you_mean(id, ids)}")


def _must_wait(journal: Path, id: str, call: str) -> None:
    """Raise `UserError` when no call of this id, in a run under way, waits for a person."""
    from agentflow.errors import UserError
    from agentflow_protocols.workflow import did_you_mean

    with reader_of(journal) as reader:
        id = full_id(reader, id)
        records = reader.load(id)
        names = [name for run in records for name, _ in reader.waiting(run)]
    calls = [name.removeprefix(_APPROVE) for name in names if name.startswith(_APPROVE)]
    if records[id].row.status == "running" and call not in calls:
        waiting = f"; waiting: {', '.join(calls)}" if calls else ", and no other call does"
        raise UserError(
            f"no call `{call[:60]}` of {id} waits for a person{waiting}{did_you_mean(call, calls)}"
        )


def _command(journal: Path, id: str, as_data: bool, quiet: bool, asked: dict[str, object]) -> None:
    """Send a command to the process that runs the run."""
    from agentflow.runtime.control import command

    with reader_of(journal) as reader:
        id = full_id(reader, id)
    value = command(journal, asked | {"run": id})
    if as_data:
        print_data(as_json({"run": id, "ok": True, "value": value}))
    else:
        told = f"told {value}" if asked["command"] == "interrupt" else "done"
        note(f"{asked['command']}: {told}", quiet=quiet)


def _row(row: RunRow) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.name,
        "kind": row.kind,
        "key": row.key,
        "status": row.status,
        "started": row.started,
        "seconds": None if row.ended is None else round(row.ended - row.started, 3),
        "error": row.error,
        "version": row.app_version,
    }


def _step(run: str, record: RunRecord) -> list[dict[str, object]]:
    return [
        {
            "run": run,
            "key": key,
            "status": step.status,
            "seconds": round(step.ended - step.started, 3),
            "attempts": step.attempts,
            "error": step.error,
        }
        for key, step in record.steps.items()
    ]


def _branch(run: str, record: RunRecord) -> str:
    pad = "  " * run.count("/")
    lines = [f"{pad}{record.row.name} [{record.row.status}]  {run}"]
    lines += [f"{pad}  · {step['key']} {step['status']} {step['seconds']} s" for step in _step(run, record)]
    return "\n".join(lines)


def _json(data: bytes | None) -> object:
    from agentflow.runtime.ledger import decode

    return decode(data)


def _output(record: RunRecord) -> object:
    output = _json(record.row.output)
    return output.get("output") if isinstance(output, dict) else None


def _recorded_inputs(reader: Reader, id: str) -> dict[str, JsonValue]:
    data = _json(reader.load(id)[id].row.input)
    given = data.get("input") if isinstance(data, dict) else None
    return dict(given) if isinstance(given, dict) else {}


def _exported(record: RunRecord) -> dict[str, object]:
    from agentflow.runtime.inbox import DROPPED

    steps = [
        step
        | {"input": _json(record.steps[str(step["key"])].input)}
        | {"output": _json(record.steps[str(step["key"])].output)}
        for step in _step(record.row.id, record)
    ]
    kept = [item for item in record.interrupts if item.priority != DROPPED]
    interrupts = [{"seq": i.seq, "source": i.source, "text": i.text} for i in kept]
    return _row(record.row) | {
        "parent": record.row.parent,
        "input": _json(record.row.input),
        "result": _json(record.row.output),
        "steps": steps,
        "interrupts": interrupts,
    }
