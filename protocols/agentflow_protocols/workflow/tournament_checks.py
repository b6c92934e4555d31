"""What a tournament names: agents, kinds of workers, weights. Works on plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from pydantic import JsonValue

from agentflow_protocols.workflow.document import Path
from agentflow_protocols.workflow.problem import Problem, did_you_mean, one_of
from agentflow_protocols.workflow.tournament_models import PLAIN_WORKERS, RESEARCHERS, WORKER_KINDS

__all__ = ["check_tournament", "tournament_workers"]

Raw = Mapping[str, JsonValue]
_Report = Callable[..., Problem]
_ENDINGS = (".html", ".md", ".svg", ".json")
_TAKEN = ("match", "expert", "given", "person")


def _mapping(value: JsonValue) -> Raw:
    return value if isinstance(value, dict) else {}


def tournament_workers(use: Raw) -> Iterator[tuple[tuple[str, ...], str, JsonValue]]:
    """Yield the places of a tournament's workers, their kinds as far as they are known, and what is said."""
    for name, kind in PLAIN_WORKERS.items():
        if use.get(name) is not None:
            yield (name,), kind, use[name]
    for name, body in _mapping(use.get("agents")).items():
        kind_said = _mapping(body).get("kind")
        yield ("agents", name), kind_said if isinstance(kind_said, str) else "", body


def check_tournament(file: Raw, report: _Report) -> Iterator[Problem]:
    """Yield what is wrong with the names in the `tournament:` of a file."""
    use = _mapping(file.get("tournament"))
    agents = _mapping(file.get("agents"))
    asked: list[tuple[tuple[str, ...], JsonValue]] = [
        (("judge",), use.get("judge")),
        (("debate",), use.get("debate")),
    ]
    workers = list(tournament_workers(use))
    asked += [(place, body) for place, _, body in workers]
    for place, body in asked:
        path = ("tournament", *place)
        if isinstance(body, str) and ":" not in body:
            yield from _known("agent", body, agents, path, report)
        elif isinstance(name := _mapping(body).get("agent"), str):
            yield from _known("agent", name, agents, (*path, "agent"), report)
    for place, kind, body in workers:
        yield from _worker(use, place, kind, body, report)
    names = ["match", *(place[-1] for place, _, _ in workers)]
    if isinstance(scientist := use.get("scientist"), dict):
        yield from _scientist(file, scientist, report)
        names += [name for name in RESEARCHERS if name not in _named(scientist.get("without")).values()]
    for name in _mapping(use.get("weights")):
        yield from _known("worker", name, names, ("tournament", "weights", name), report, key=True)
    supervisor = use.get("supervisor")
    if isinstance(supervisor, str) and ":" not in supervisor and supervisor != "thompson":
        near = did_you_mean(supervisor, ["thompson"])
        message = f"unknown supervisor `{supervisor[:60]}`; allowed: thompson, or module:function{near}"
        yield report(("tournament", "supervisor"), message)
    written = use.get("report")
    if isinstance(written, str) and written and not written.lower().endswith((*_ENDINGS, "}}")):
        yield report(("tournament", "report"), f"tournament.report is a {', '.join(_ENDINGS)} file")


def _scientist(file: Raw, said: Raw, report: _Report) -> Iterator[Problem]:
    path = ("tournament", "scientist")
    endpoints = _mapping(file.get("endpoints"))
    asked: dict[tuple[str, ...], JsonValue]
    asked = {(field,): said.get(field) for field in ("endpoint", "embed")}
    asked |= {("roles", role): name for role, name in _mapping(said.get("roles")).items()}
    for place, name in asked.items():
        if isinstance(name, str):
            yield from _known("endpoint", name, endpoints, (*path, *place), report)
    for at, name in _named(said.get("search")).items():
        yield from _known("tool", name, _mapping(file.get("tools")), (*path, "search", *at), report)
    for at, name in _named(said.get("without")).items():
        yield from _known("agent of a co-scientist", name, RESEARCHERS, (*path, "without", *at), report)


def _named(value: JsonValue) -> dict[tuple[int, ...], str]:
    """Return the names in a name or a list of names, by their places."""
    if isinstance(value, str):
        return {(): value}
    listed = value if isinstance(value, list) else []
    return {(at,): name for at, name in enumerate(listed) if isinstance(name, str)}


def _worker(
    use: Raw, place: tuple[str, ...], kind: str, body: JsonValue, report: _Report
) -> Iterator[Problem]:
    path, said = ("tournament", *place), _mapping(body)
    if place[0] == "agents":
        if isinstance(body, dict) and "kind" not in body:
            yield report(
                path, f"`kind` is missing in {'.'.join(path)}; allowed: {', '.join(WORKER_KINDS)}", key=True
            )
        if place[1] in _TAKEN or use.get(place[1] if place[1] in PLAIN_WORKERS else "") is not None:
            yield report(
                path, f"no worker can be named `{place[1]}`: the name means something else", key=True
            )
    elif "kind" in said and said["kind"] != kind:
        message = f"`{place[0]}` is of kind {kind}; one of another kind stands under `agents`"
        yield report((*path, "kind"), message)
    for name in said:
        homes = [each for each, names in WORKER_KINDS.items() if name in names]
        if homes and kind in WORKER_KINDS and kind not in homes:
            message = (
                f"`{name}` belongs to workers of kind {' and '.join(homes)}, and this is one of kind {kind}"
            )
            yield report((*path, name), message, key=True)


def _known(
    kind: str, name: str, names: Iterable[str], path: Path, report: _Report, *, key: bool = False
) -> Iterator[Problem]:
    allowed = list(names)
    if name not in allowed:
        near = did_you_mean(name, allowed)
        yield report(path, f"unknown {kind} `{name[:60]}`; allowed: {one_of(allowed)}{near}", key=key)
