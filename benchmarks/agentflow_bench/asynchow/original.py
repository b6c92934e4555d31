"""The original's files: pickles, read without running anything in them; fetched, and checked."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, cast

from agentflow.errors import EndpointUnavailable, UserError

__all__ = ["COMMIT", "DIGEST", "cache_folder", "digest_of", "fetch", "read_original"]

COMMIT = "44b99b6ba4e4127336e457878ad61f8960ea3d05"
DIGEST = "f0ae8540972ea3427e071dc383faafbf29971798a522041cdc4a342add5bc4ac"
_REPOSITORY = "https://raw.githubusercontent.com/fangru-lin/graph-llm-asynchow-plan"
_KINDS = {"async": "asynchronous", "para": "parallel", "seq": "sequential"}
_MOST_BYTES = 400 * 1024 * 1024


class _Unpickler(pickle.Unpickler):
    """Allows `datetime.timedelta`, and nothing else."""

    def find_class(self, module: str, name: str) -> type[timedelta]:
        if (module, name) == ("datetime", "timedelta"):
            return timedelta
        raise pickle.UnpicklingError(f"it wants {module}.{name}, which is not read")


def read_original(file: Path) -> list[dict[str, object]]:
    """Return the records of one of the original's files. Raises `UserError` for another."""
    try:
        with open(file, "rb") as opened:
            value = _unpickled(opened)
        data = cast("Mapping[str, Sequence[object]]", value)
        name = file.name.partition("_")[0]
        kind = _KINDS.get(name, "asynchronous")
        return [_record(data, number, f"{name}-{number:04}", kind) for number in range(len(data["titles"]))]
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except (
        pickle.UnpicklingError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
    ) as error:
        raise UserError(f"{file}: not one of AsyncHow's files: {type(error).__name__}: {error}") from None


def _unpickled(opened: BinaryIO) -> object:
    return _Unpickler(opened).load()


def _record(data: Mapping[str, Sequence[object]], number: int, name: str, kind: str) -> dict[str, object]:
    texts = cast("Sequence[str]", data["steps"][number])
    words = cast("Mapping[str, str]", data["time_dic"][number])
    spans = cast("Mapping[str, object]", data["timedelta_dic"][number])
    pairs = cast("Sequence[tuple[str, str]]", data["edge_list"][number])
    inner = {(a, b) for a, b in pairs if "START" not in (a, b) and "END" not in (a, b)}
    return {
        "id": name,
        "kind": kind,
        "title": str(data["titles"][number]),
        "steps": [
            {
                "id": place,
                "text": " ".join(str(text).split()),
                "duration": str(words[str(place)]),
                "seconds": _seconds(spans[str(place)]),
            }
            for place, text in enumerate(texts, 1)
        ],
        "edges": sorted([int(a), int(b)] for a, b in inner),
        "optimal_seconds": _seconds(data["task_time"][number]),
        "complexity": int(cast("int", data["ve_count"][number])) if "ve_count" in data else None,
    }


def _seconds(span: object) -> list[float]:
    ends = span if isinstance(span, Sequence) else (span, span)
    low, high = cast("Sequence[timedelta]", ends)
    return [low.total_seconds(), high.total_seconds()]


def digest_of(records: Sequence[Mapping[str, object]]) -> str:
    """Return the SHA-256 of what counts in some records: titles, steps, seconds, order, answers."""
    said = [
        [
            " ".join(str(record["title"]).split()),
            [
                [
                    " ".join(str(step["text"]).split()),
                    step["duration"],
                    [float(s) for s in cast("list[float]", step["seconds"])],
                ]
                for step in cast("Sequence[Mapping[str, object]]", record["steps"])
            ],
            sorted([int(a), int(b)] for a, b in cast("Sequence[Sequence[int]]", record["edges"])),
            [float(s) for s in cast("Sequence[float]", record["optimal_seconds"])],
        ]
        for record in records
    ]
    return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()


def cache_folder() -> Path:
    """Return the folder in which fetched data is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "agentflow" / "asynchow"


def fetch(repository: str = _REPOSITORY, folder: Path | None = None, digest: str = DIGEST) -> Path:
    """Fetch the original's three files, check them, and return the folder with what they hold.

    Raises `EndpointUnavailable` when they can't be reached, `UserError` when they are not what they were.
    """
    folder = folder or cache_folder()
    if all((folder / f"{name}.jsonl").exists() for name in _KINDS):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; XDG_CACHE_HOME names another place") from None
    found: dict[str, list[dict[str, object]]] = {}
    for name in _KINDS:
        file = folder / f"{name}_benchmark.pkl"
        _download(f"{repository}/{COMMIT}/data/{file.name}", file)
        try:
            found[name] = read_original(file)
        finally:
            file.unlink()
    got = digest_of([record for records in found.values() for record in records])
    if got != digest:
        raise UserError(
            f"AsyncHow at {COMMIT[:8]} is not what it was: SHA-256 {got[:16]}…, not {digest[:16]}…"
        )
    for name, records in found.items():
        new = folder / f"{name}.jsonl.new"
        new.write_text("".join(json.dumps(record) + "\n" for record in records))
        new.replace(folder / f"{name}.jsonl")
    return folder


def _download(address: str, file: Path) -> None:
    import httpx2

    try:
        with httpx2.stream("GET", address, follow_redirects=True, timeout=60) as response:
            response.raise_for_status()
            size = 0
            with open(file, "wb") as out:
                for chunk in response.iter_bytes():
                    size += len(chunk)
                    if size > _MOST_BYTES:
                        raise UserError(f"{address}: more than {_MOST_BYTES >> 20} MiB")
                    out.write(chunk)
    except httpx2.HTTPError as error:
        file.unlink(missing_ok=True)
        raise EndpointUnavailable(f"{address}: {type(error).__name__}: {error}") from None
    except OSError as error:
        file.unlink(missing_ok=True)
        raise UserError(f"{file}: {error.strerror}") from None
