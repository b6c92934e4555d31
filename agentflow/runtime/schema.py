"""The tables of a SQLite journal, and reading them.

Any process may read a journal while its owner writes (`open_reader`).
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

from agentflow.errors import RunError, UserError
from agentflow.runtime.journal import (
    ArtifactFact,
    Fact,
    InterruptFact,
    RunEndFact,
    RunFact,
    RunRecord,
    RunRow,
    SignalFact,
    StepFact,
    WaitFact,
)

__all__ = ["INSERTS", "Reader", "open_reader", "prepare", "refuse_foreign"]

APPLICATION_ID = 0x61676A31  # "agj1"
SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE run (
    id TEXT PRIMARY KEY, parent TEXT, key TEXT, kind TEXT NOT NULL, name TEXT NOT NULL, input BLOB NOT NULL,
    status TEXT NOT NULL, output BLOB, error TEXT, app_version TEXT NOT NULL, started REAL NOT NULL,
    ended REAL);
CREATE INDEX run_key ON run (key) WHERE key IS NOT NULL;
CREATE TABLE step (
    run TEXT NOT NULL, key TEXT NOT NULL, input BLOB, input_hash TEXT NOT NULL, status TEXT NOT NULL,
    output BLOB, error TEXT, attempts INTEGER NOT NULL, started REAL NOT NULL, ended REAL NOT NULL,
    PRIMARY KEY (run, key));
CREATE TABLE event (
    run TEXT NOT NULL, seq INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY (run, seq)) WITHOUT ROWID;
CREATE TABLE waiting (
    run TEXT NOT NULL, name TEXT NOT NULL, payload BLOB, value BLOB, PRIMARY KEY (run, name)) WITHOUT ROWID;
CREATE TABLE interrupt (
    run TEXT NOT NULL, seq INTEGER NOT NULL, source TEXT NOT NULL, text TEXT NOT NULL, priority TEXT NOT NULL,
    PRIMARY KEY (run, seq)) WITHOUT ROWID;
CREATE TABLE artifact (run TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (run, name));
CREATE TABLE lease (run TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, expires REAL NOT NULL);
"""

# For each kind of fact: its statement, and its row.
INSERTS: dict[type[Fact], tuple[str, Callable[[Any], tuple[object, ...]]]] = {
    RunFact: (
        "INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, 'running', NULL, NULL, ?, ?, NULL)",
        lambda f: (f.id, f.parent, f.key, f.kind, f.name, f.input, f.app_version, f.started),
    ),
    RunEndFact: (
        "UPDATE run SET status = ?, output = ?, error = ?, ended = ? WHERE id = ?",
        lambda f: (f.status, f.output, f.error, f.ended, f.id),
    ),
    StepFact: (
        "INSERT OR REPLACE INTO step VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        lambda f: (
            *(f.run, f.key, f.input, f.input_hash, f.status),
            *(f.output, f.error, f.attempts, f.started, f.ended),
        ),
    ),
    InterruptFact: (
        "INSERT OR REPLACE INTO interrupt VALUES (?, ?, ?, ?, ?)",
        lambda f: (f.run, f.seq, f.source, f.text, f.priority),
    ),
    WaitFact: (
        "INSERT INTO waiting VALUES (?, ?, ?, NULL) ON CONFLICT DO UPDATE SET payload = excluded.payload",
        lambda f: (f.run, f.name, f.payload),
    ),
    SignalFact: (
        "INSERT INTO waiting VALUES (?, ?, NULL, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        lambda f: (f.run, f.name, f.value),
    ),
    ArtifactFact: ("INSERT OR REPLACE INTO artifact VALUES (?, ?, ?)", lambda f: (f.run, f.name, f.data)),
}

_STEP = "run, key, status, input, input_hash, output, error, attempts, started, ended"
# A run and all below it: a child's id is its parent's, a slash, and its own key.
_BELOW = "({0} = ? OR substr({0}, 1, ?) = ?)"


def refuse_foreign(path: Path) -> None:
    """Raise RunError when `path` is there and is no journal that this version can use."""
    try:
        with open(path, "rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"journal {path}: {error.strerror}") from None
    if head and head[:16] != b"SQLite format 3\0":
        raise RunError(f"journal {path}: not a journal of agentflow; it was left as it is, name another file")
    if len(head) < 100:
        return
    # A new file's header is written by the first transaction, which may still be in the WAL.
    if int.from_bytes(head[68:72], "big") not in (0, APPLICATION_ID):
        _refuse_other(path)
    try:
        with closing(_opened(path)) as db:
            _check_version(path, db)
    except sqlite3.Error as error:
        raise RunError(f"journal {path}: {error}; it was left as it is") from None


def _opened(path: Path) -> sqlite3.Connection:
    """Open a journal for reading; one whose process was killed may have to be recovered first."""
    where = path.absolute().as_uri()
    db = sqlite3.connect(f"{where}?mode=ro", uri=True)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        db.close()
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        db = sqlite3.connect(f"{where}?mode=rw", uri=True)
    return db


def _refuse_other(path: Path) -> NoReturn:
    raise RunError(f"journal {path}: a database of another program; it was left as it is, name another file")


def _check_version(path: Path, db: sqlite3.Connection) -> int:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        _refuse_other(path)
    if version > SCHEMA_VERSION:
        raise RunError(
            f"journal {path}: written by a newer agentflow (schema {version}; this knows {SCHEMA_VERSION})"
        )
    return int(version)


def prepare(path: Path, durable: bool) -> sqlite3.Connection:
    """Open the journal for writing, with its tables."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, stat.S_IRUSR | stat.S_IWUSR))
    db = sqlite3.connect(path, isolation_level=None, cached_statements=64)
    try:
        if _check_version(path, db) == 0:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        db.execute("PRAGMA busy_timeout = 5000")
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: str | os.PathLike[str]) -> Reader:
    """Open a journal for reading, also while its owner writes.

    Raises UserError when there is none, RunError when it is foreign or broken.
    """
    file = Path(path)
    if not file.exists():
        raise UserError(f"no journal {file}: run something with it first, or name another with --journal")
    refuse_foreign(file)
    try:
        db = _opened(file)
    except sqlite3.Error as error:
        raise RunError(f"journal {file}: {error}") from None
    if not _check_version(file, db):
        db.close()
        raise UserError(f"journal {file} has no runs yet: its process ended, or has only begun")
    return Reader(db)


class Reader:
    """Questions to a journal, in the thread that asks."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def find(self, key: str) -> str | None:
        """Return the id of the newest run of this key."""
        row = self._db.execute(
            "SELECT id FROM run WHERE key = ? ORDER BY started DESC LIMIT 1", (key,)
        ).fetchone()
        return row[0] if row else None

    def runs(self, status: str | None = None) -> list[RunRow]:
        """Return the outermost runs, the newest first."""
        rows = self._db.execute(
            "SELECT * FROM run WHERE parent IS NULL AND (? IS NULL OR status = ?)"
            " ORDER BY started DESC, id DESC",
            (status, status),
        )
        return [RunRow(*row) for row in rows]

    def load(self, run: str) -> dict[str, RunRecord]:
        """Return the run and all below it, by id."""
        below = (run, len(run) + 1, f"{run}/")
        records = {
            row[0]: RunRecord(RunRow(*row))
            for row in self._db.execute(
                f"SELECT * FROM run WHERE {_BELOW.format('id')} ORDER BY rowid", below
            )
        }
        for row in self._db.execute(
            f"SELECT {_STEP} FROM step WHERE {_BELOW.format('run')} ORDER BY rowid", below
        ):
            if row[0] in records:
                records[row[0]].steps[row[1]] = StepFact(*row)
        for row in self._db.execute(
            f"SELECT * FROM interrupt WHERE {_BELOW.format('run')} ORDER BY seq", below
        ):
            if row[0] in records:
                records[row[0]].interrupts.append(InterruptFact(*row))
        for name, key, value in self._db.execute(
            f"SELECT run, name, value FROM waiting WHERE value IS NOT NULL AND {_BELOW.format('run')}", below
        ):
            if name in records:
                records[name].signals[key] = value
        return records

    def steps(self, run: str, first: str, last: str) -> list[StepFact]:
        """Return the steps of `run` whose keys lie from `first` up to `last`, by key."""
        rows = self._db.execute(
            f"SELECT {_STEP} FROM step WHERE run = ? AND key BETWEEN ? AND ? ORDER BY key", (run, first, last)
        )
        return [StepFact(*row) for row in rows]

    def waiting(self, run: str) -> list[tuple[str, bytes]]:
        """Return what the run waits for: names and payloads."""
        return self._db.execute(
            "SELECT name, payload FROM waiting WHERE run = ? AND value IS NULL AND payload IS NOT NULL",
            (run,),
        ).fetchall()

    def artifact(self, run: str, name: str) -> bytes | None:
        """Return an artifact's data."""
        row = self._db.execute("SELECT data FROM artifact WHERE run = ? AND name = ?", (run, name)).fetchone()
        return row[0] if row else None

    def durations(self) -> dict[str, float]:
        """Return the mean seconds of each tool over its last calls."""
        rows = self._db.execute(
            "SELECT json_extract(CAST(input AS TEXT), '$.name') AS name, avg(ended - started) FROM ("
            " SELECT input, started, ended FROM step WHERE key LIKE 'call/%' AND status = 'ok'"
            " ORDER BY rowid DESC LIMIT 2000) GROUP BY name"
        )
        return {name: mean for name, mean in rows if name}

    def step_durations(self, kind: str, name: str) -> dict[str, float]:
        """Return the mean seconds of each step, or child run, of the last runs of a kind and name."""
        rows = self._db.execute(
            "WITH last AS (SELECT id FROM run WHERE kind = ? AND name = ? ORDER BY rowid DESC LIMIT 20)"
            " SELECT key, avg(ended - started) FROM ("
            " SELECT key, started, ended FROM step WHERE run IN last AND status = 'ok' AND ended > started"
            " UNION ALL SELECT substr(id, length(parent) + 2), started, ended FROM run"
            " WHERE parent IN last AND status = 'succeeded') GROUP BY key",
            (kind, name),
        )
        return {key: mean for key, mean in rows if key and mean}

    def fork(self, run: str, after: str, new: str) -> None:
        """Copy a run and those below it, up to and with step `after`, as run `new`.

        Copied steps lose their input's hash, so that a fork may go on from other input.
        """
        db = self._db
        last = db.execute("SELECT rowid FROM step WHERE run = ? AND key = ?", (run, after)).fetchone()
        if last is None:
            raise UserError(f"run {run} has no step {after!r}: see `agentflow runs show {run}`")
        below = (run, len(run) + 1, f"{run}/")
        rename = f"? || substr({{0}}, {len(run) + 1})"
        db.execute("BEGIN IMMEDIATE")
        db.execute(
            f"INSERT INTO run SELECT {rename.format('id')}, CASE WHEN parent IS NULL THEN NULL ELSE"
            f" {rename.format('parent')} END, NULL, kind, name, input, 'forked', NULL, NULL, app_version,"
            f" started, NULL FROM run WHERE {_BELOW.format('id')}",
            (new, new, *below),
        )
        db.execute(
            f"INSERT INTO step SELECT {rename.format('run')}, key, input, '', status, output, error,"
            f" attempts, started, ended FROM step WHERE rowid <= ? AND {_BELOW.format('run')} ORDER BY rowid",
            (new, last[0], *below),
        )
        for table, columns in (
            ("artifact", "name, data"),
            ("waiting", "name, payload, value"),
            ("interrupt", "seq, source, text, priority"),
        ):
            db.execute(
                f"INSERT INTO {table} SELECT {rename.format('run')}, {columns} FROM {table}"
                f" WHERE {_BELOW.format('run')}",
                (new, *below),
            )
        db.execute("COMMIT")

    def delete(self, run: str) -> None:
        """Delete a run and those below it; only for the owner."""
        below = (run, len(run) + 1, f"{run}/")
        self._db.execute("BEGIN IMMEDIATE")
        for table in ("step", "event", "waiting", "interrupt", "artifact", "lease"):
            self._db.execute(f"DELETE FROM {table} WHERE {_BELOW.format('run')}", below)
        self._db.execute(f"DELETE FROM run WHERE {_BELOW.format('id')}", below)
        self._db.execute("COMMIT")
