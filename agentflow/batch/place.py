"""Where a batch's files are: in a folder as prompto has it, or beside a file of the user's choice.

An experiment EXP of a data folder DATA has one folder, DATA/output/EXP. A start at time TS
makes TS-input-EXP.jsonl there (the input itself, moved, or a copy when it lay elsewhere),
TS-completed-EXP.jsonl and TS-log-EXP.txt. The journal of all starts is journal.db.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from agentflow.batch.lines import write_csv_lines
from agentflow.errors import UserError
from agentflow_protocols.experiment import TIMESTAMP

__all__ = ["Beside", "Folder", "Place", "Site", "as_lines", "filing"]

_LONGEST = 255 - len(".part")  # bytes of a file's name
_STAMP = r"\d{2}-\d{2}-\d{4}-\d{2}-\d{2}-\d{2}"


@dataclass(slots=True, frozen=True)
class Place:
    """The files of one start. `input` is JSON Lines, whatever the user's file was."""

    name: str
    run: str
    input: Path
    completed: Path
    in_order: Path
    table: Path
    log: Path | None
    media: Path


@dataclass(slots=True, frozen=True)
class Folder:
    """An experiment in a data folder. `file` may be gone: then its last start is gone on with."""

    data: Path
    file: Path
    move: bool = False
    keeps = False  # another input of this name, after a start that was answered whole, is a new start

    @property
    def name(self) -> str:
        """The experiment's name: the file's, without its ending."""
        return self.file.stem

    @property
    def output(self) -> Path:
        """The folder with all that comes of it."""
        return self.data / "output" / self.name

    @property
    def journal(self) -> Path:
        """The journal of all its starts."""
        return self.output / "journal.db"

    def check(self) -> None:
        """Raise `UserError` when there is nothing to run, or the folders can't be made."""
        if self.file.suffix not in (".jsonl", ".csv"):
            raise UserError(f"{self.file}: an experiment is a .jsonl or .csv file")
        _check_text(self.file, self.output)
        with filing():
            if not self.file.is_file() and self.last() is None:
                raise UserError(
                    f"{self.file}: {_what(self.file)}, and {self.output} has no start of it to go on with"
                )
            longest = self._fresh().in_order.name
            if len(os.fsencode(longest)) > _LONGEST:
                raise UserError(f"{self.file}: its name is too long; give it a shorter one")
            for folder in (self.data / "input", self.data / "media", self.output):
                folder.mkdir(parents=True, exist_ok=True)
            (self.output / ".writable").touch()
            (self.output / ".writable").unlink()

    def place(self, run: str) -> Place:
        """Return the files of the start at time `run`."""
        out, name = self.output, self.name
        return Place(
            name,
            run,
            out / f"{run}-input-{name}.jsonl",
            out / f"{run}-completed-{name}.jsonl",
            out / f"{run}-in-order-{name}.jsonl",
            out / f"{run}-completed-{name}.csv",
            out / f"{run}-log-{name}.txt",
            self.data / "media",
        )

    def last(self) -> Place | None:
        """Return the files of the newest start, ours or prompto's; None when there was none."""
        form = re.compile(rf"({_STAMP})-input-{re.escape(self.name)}\.jsonl")
        try:
            stamps = [found[1] for file in os.listdir(self.output) if (found := form.fullmatch(file))]
        except FileNotFoundError:
            return None
        if not stamps:
            return None
        return self.place(max(stamps, key=_time))

    def begin(self) -> Place:
        """Take the input into the folder as a new start. What is there already stays."""
        if not self.file.is_file():
            last = self.last()
            assert last is not None
            return self._again(last)
        place = self._fresh()
        owned = self.move or self.file.parent.resolve() == (self.data / "input").resolve()
        with filing():
            if self.file.suffix == ".csv":
                _by_way_of(place.input, lambda part: write_csv_lines(self.file, part))
                _take(self.file, place.input.with_suffix(".csv"), owned)
            else:
                _take(self.file, place.input, owned)
        return place

    def stage(self, place: Place) -> Path:
        """Return the file as JSON Lines beside an earlier start's input, to be put in its place."""
        return _stage(self.file, place)

    def same_input(self, place: Place) -> bool:
        """Return whether the file is gone, or the input of that start."""
        if not self.file.is_file():
            return True
        kept = place.input.with_suffix(self.file.suffix)
        return kept.is_file() and _same(self.file, kept)

    def move_in(self) -> None:
        """Move the file into the input folder."""
        target = self.data / "input" / self.file.name
        with filing():
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() and target.samefile(self.file):
                return
            if target.exists():
                raise UserError(f"{target}: there is such a file already; move it away first")
            _take(self.file, target, True)

    def replaced(self, place: Place) -> None:
        """Take note that the file is that start's input from now on."""
        if self.file.suffix == ".csv":
            with filing():
                _take(self.file, place.input.with_suffix(".csv"), False)
        self.drop_input(place)

    def drop_input(self, place: Place) -> None:
        """Remove the file from the input folder when that start has it."""
        if self.move or self.file.parent.resolve() == (self.data / "input").resolve():
            self.file.unlink(missing_ok=True)

    def _again(self, last: Place) -> Place:
        place = self._fresh()
        with filing():
            _take(last.input, place.input, False)
        return place

    def _fresh(self) -> Place:
        when = datetime.now()
        while (place := self.place(when.strftime(TIMESTAMP))).input.exists() or place.completed.exists():
            when += timedelta(seconds=1)
        return place


@dataclass(slots=True, frozen=True)
class Beside:
    """An experiment whose answers go to a file of the user's choice; its journal lies beside that."""

    file: Path
    output: Path
    keeps = True  # answers stay in the output, whatever is put to the input later

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.file.stem

    @property
    def journal(self) -> Path:
        """The journal of all its starts."""
        return self.output.with_name(f"{self.output.name}.journal.db")

    def check(self) -> None:
        """Raise `UserError` when there is nothing to run, or no place for the output."""
        if self.file.suffix not in (".jsonl", ".csv"):
            raise UserError(f"{self.file}: an experiment is a .jsonl or .csv file")
        _check_text(self.file, self.output)
        with filing():
            if not self.file.is_file():
                raise UserError(f"{self.file}: {_what(self.file)}")
            self.output.parent.mkdir(parents=True, exist_ok=True)

    def last(self) -> Place | None:
        """Return the files of the start whose output is there; None when there is none."""
        return self._place() if self.output.exists() or self.journal.exists() else None

    def begin(self) -> Place:
        """Take the input as a new start; an earlier output is kept under another name."""
        place = self._place()
        with filing():
            if self.output.exists():
                stamp = datetime.fromtimestamp(self.output.stat().st_mtime).strftime(TIMESTAMP)
                os.replace(self.output, self.output.with_name(f"{self.output.name}.{stamp}"))
            os.replace(_stage(self.file, place), place.input)
        return place

    def stage(self, place: Place) -> Path:
        """Return the file as JSON Lines beside an earlier start's input, to be put in its place."""
        return _stage(self.file, place)

    def same_input(self, place: Place) -> bool:
        """Return whether the file is the input of that start."""
        if not place.input.is_file():
            return False
        if self.file.suffix == ".jsonl":
            return _same(self.file, place.input)
        staged = _stage(self.file, place)
        try:
            return _same(staged, place.input)
        finally:
            staged.unlink()

    def replaced(self, place: Place) -> None:
        """Leave the file where it is: it is the user's."""

    def drop_input(self, place: Place) -> None:
        """Leave the file where it is: it is the user's."""

    def _place(self) -> Place:
        out = self.output
        return Place(
            self.name,
            out.name,
            out.with_name(f"{out.name}.input.jsonl"),
            out,
            out.with_name(f"{out.stem}-in-order{out.suffix}"),
            out.with_suffix(".csv"),
            None,
            self.file.parent / "media",
        )


Site = Folder | Beside


class filing:
    """A block that works on files; what goes wrong is said in one line, as `UserError`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            where = error.filename2 or error.filename or "a file"
            raise UserError(f"{where}: {error.strerror or error}") from None


def as_lines(file: Path, target: Path) -> Path:
    """Return a JSON Lines file as it is, a CSV file as the JSON Lines that are written to `target`."""
    if file.suffix == ".jsonl":
        return file
    if file.suffix != ".csv":
        raise UserError(f"{file}: an experiment is a .jsonl or .csv file")
    with filing():
        write_csv_lines(file, target)
    return target


def _check_text(*paths: Path) -> None:
    """Raise `UserError` for a path that is no text: it could not be written down."""
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise UserError(f"{os.fsencode(path)!r}: the name is no UTF-8; give it another") from None


def _what(file: Path) -> str:
    """Say why a path is no file to read."""
    if file.is_dir():
        return "is a folder"
    return "is no plain file" if file.exists() else "no such file"


def _stage(file: Path, place: Place) -> Path:
    staged = place.input.with_name(f"{place.input.name}.next")
    with filing():
        if file.suffix == ".csv":
            _by_way_of(staged, lambda part: write_csv_lines(file, part))
        else:
            _take(file, staged, False)
    return staged


def _time(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, TIMESTAMP)
    except ValueError:
        return datetime.min


def _same(a: Path, b: Path) -> bool:
    """Return whether two files have the same bytes."""
    with filing():
        if a.stat().st_size != b.stat().st_size:
            return False
        return _digest(a) == _digest(b)


def _digest(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def _take(source: Path, target: Path, owned: bool) -> None:
    """Move (when `owned`) or copy a file so that `target` is whole at every moment."""
    if owned and not source.is_symlink():  # a link that is moved may point nowhere
        try:
            os.replace(source, target)
            return
        except OSError:
            pass  # another file system, or no leave to remove it
    _by_way_of(target, lambda part: shutil.copyfile(source, part))
    if owned:
        source.unlink(missing_ok=True)


def _by_way_of(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside `target` and put it in its place."""
    part = target.with_name(f"{target.name}.part")
    try:
        write(part)
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
