"""What is wrong with the files, functions and templates of a `tournament:`, told without running any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from agentflow.errors import UserError
from agentflow.workflow.modules import fault
from agentflow.workflow.templates import Names, is_whole, template_faults
from agentflow.workflow.tournament_items import items_in
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import Parsed, Problem, tournament_workers, walk

__all__ = ["BOARD", "MATCH", "STANDING", "tournament_faults", "tournament_outline"]

BOARD = frozenset({"advice", "best", "goal", "judged", "lately", "ranking"})
"""What `board.x` may be in a prompt."""
MATCH = frozenset(
    {"advice", "again", "first", "first_notes", "goal", "mode", "number", "second", "second_notes"}
)
"""What `match.x` may be in the prompt of a judge."""
STANDING = frozenset(
    {"high", "id", "item", "low", "matches", "notes", "quality", "rank", "source", "withdrawn"}
)
"""What `standing.x` may be where one item is looked at."""

_EACH = 15  # matches for each item where a file does not say how many
_FUNCTIONS = ("similar", "near", "item_type")
_WHOLE = ("due", "reject", "halt")

Raw = Mapping[str, JsonValue]


def tournament_faults(parsed: Parsed, names: Names, folder_of: Callable[..., Path]) -> Iterator[Problem]:
    """Yield what is wrong with what a file's `tournament:` names, without running any of it."""
    use = parsed.merged.get("tournament")
    if not isinstance(use, dict):
        return
    folder = folder_of(parsed)
    for at, name in _functions(use):
        found = fault(name, folder) if name.count(":") == 1 else None
        if found:
            yield parsed.report(("tournament", *at), found)
    for field in ("goal", "items", "seed", "report"):
        for inner, value in walk(use.get(field), (field,)):
            yield from _in_template(parsed, inner, value, names)
    yield from _items(parsed, use.get("items"), folder)
    written = use.get("report")
    if isinstance(written, str) and "{{" not in written and not (folder / written).parent.is_dir():
        message = f"no folder `{str(Path(written).parent)[:200]}` for the report"
        yield parsed.report(("tournament", "report"), message)
    if isinstance(scientist := use.get("scientist"), dict):
        yield from _documents(parsed, scientist.get("documents"), folder)
    for name in ("judge", "debate"):
        if isinstance(body := use.get(name), dict):
            known = {**names, "goal": None, "first": None, "second": None, "match": MATCH}
            yield from _in_template(parsed, (name, "prompt"), body.get("prompt"), known)
    for place, kind, body in tournament_workers(use):
        if isinstance(body, dict):
            yield from _worker(parsed, place, kind, body, names)


def tournament_outline(parsed: Parsed, folder: Path) -> dict[str, Json] | None:
    """Return how much a checked tournament comes to; None where the file has none.

    That is the items that are given, items and matches at most (None before a template says so), workers.
    """
    use = None if parsed.workflow is None else parsed.workflow.tournament
    if use is None:
        return None
    given: int | None = None
    if isinstance(use.items, list):
        given = len(use.items)
    elif "{{" not in use.items:
        given = len(items_in(folder / use.items))
    makes = any(kind == "make" for _, kind, _ in use.workers()) or use.scientist is not None
    most = max(use.most_items, given or 0) if makes else given
    matches = use.max_matches
    if matches is None and most is not None:
        matches = _EACH * most
    workers: dict[str, Json] = {place[-1]: kind for place, kind, _ in use.workers()}
    return {"items": given, "most_items": most, "most_matches": matches, "workers": workers}


def _functions(use: Raw) -> Iterator[tuple[tuple[str, ...], str]]:
    for name in _FUNCTIONS:
        if isinstance(value := use.get(name), str):
            yield (name,), value
    if isinstance(value := use.get("id"), str) and ":" in value:
        yield ("id",), value
    said = [((name,), use.get(name)) for name in ("judge", "debate", "supervisor")]
    said += [(place, body) for place, _, body in tournament_workers(use)]  # type: ignore[misc]
    for place, body in said:
        if isinstance(body, str) and ":" in body:
            yield place, body
        elif isinstance(body, dict) and isinstance(function := body.get("function"), str):
            yield (*place, "function"), function


def _items(parsed: Parsed, items: JsonValue, folder: Path) -> Iterator[Problem]:
    """Read the file of items, when there is one already."""
    if not isinstance(items, str) or not items or "{{" in items:
        return
    file = folder / items
    if not file.is_file():
        message = f"no file `{items[:200]}`; paths are relative to the file they stand in"
        yield parsed.report(("tournament", "items"), message)
        return
    try:
        items_in(file)
    except UserError as error:
        yield parsed.report(("tournament", "items"), str(error))


def _documents(parsed: Parsed, documents: JsonValue, folder: Path) -> Iterator[Problem]:
    for at, name in enumerate(documents if isinstance(documents, list) else []):
        if isinstance(name, str) and not (folder / name).is_file():
            message = f"no file `{name[:200]}`; paths are relative to the file they stand in"
            yield parsed.report(("tournament", "scientist", "documents", at), message)


def _worker(parsed: Parsed, place: tuple[str, ...], kind: str, body: Raw, names: Names) -> Iterator[Problem]:
    known: dict[str, frozenset[str] | None] = {**names, "goal": None, "board": BOARD}
    if kind == "look":
        known |= {"item": None, "standing": STANDING}
    yield from _in_template(parsed, (*place, "prompt"), body.get("prompt"), known)
    for field in _WHOLE:
        text = body.get(field)
        if not isinstance(text, str):
            continue
        if not is_whole(text):
            yield parsed.report(("tournament", *place, field), f"`{field}` is one whole {{{{ … }}}}")
            continue
        seen = {**known, "answer": None}
        if field == "due":
            seen = {**names, "item": None, "standing": STANDING}
        yield from _in_template(parsed, (*place, field), text, seen)


def _in_template(
    parsed: Parsed, place: tuple[str | int, ...], value: JsonValue, names: Names
) -> Iterator[Problem]:
    if isinstance(value, str):
        for message, find in template_faults(value, names):
            yield parsed.report(("tournament", *place), message, find=find)
