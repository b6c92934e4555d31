"""What needs a look at more than one section. Works on plain values, so that one
section's mistakes never hide another's.
"""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterator, Mapping

from pydantic import JsonValue

from agentflow_protocols.workflow.document import Path, walk
from agentflow_protocols.workflow.plan_checks import check_plan
from agentflow_protocols.workflow.problem import Problem, did_you_mean, one_of
from agentflow_protocols.workflow.review_checks import check_review
from agentflow_protocols.workflow.secret import looks_secret, names_secret
from agentflow_protocols.workflow.tournament_checks import check_tournament

__all__ = ["FREE_SCHEMES", "LATER_SECTIONS", "TEAM_COMMANDS", "TEAM_DUTIES", "Report", "check", "items"]

FREE_SCHEMES = ("builtin", "in-flight", "local", "scripted")
LATER_SECTIONS = ("bench",)
_RUNNABLE = ("agent", "team", "plan", "dual", "tournament", "review", "batch")
TEAM_COMMANDS = ("assign", "reassign", "tell", "board")
TEAM_DUTIES = ("report", "ask")

Report = Callable[..., Problem]
"""`report(path, message, *, key=False, find=None)` makes a problem with its position."""


def items(value: JsonValue) -> Mapping[str, JsonValue]:
    """Return `value` when it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def check(file: Mapping[str, JsonValue], report: Report) -> Iterator[Problem]:
    """Yield what is wrong across the sections of `file`, includes already merged."""
    yield from _sections(file, report)
    yield from _references(file, report)
    yield from _team(file, report)
    yield from check_plan(file, report)
    yield from check_tournament(file, report)
    yield from check_review(file, report)
    yield from _sessions(file, report)
    yield from _models(file, report)
    yield from _money(file, report)
    yield from _tool_names(file, report)
    yield from _secrets(file, report)


def _sections(file: Mapping[str, JsonValue], report: Report) -> Iterator[Problem]:
    for name in LATER_SECTIONS:
        if name in file:
            allowed = ", ".join(f"`{known}:`" for known in _RUNNABLE)
            message = f"`{name}:` is not in this version; allowed: {allowed}"
            if name == "bench":
                message = "a suite of a bench is run by `agentflow bench FILE.yaml`, with no `agentflow: 1`"
            yield report([name], message, key=True)
    runnable = [name for name in (*_RUNNABLE, *LATER_SECTIONS) if name in file]
    if len(runnable) > 1:
        last = max(runnable, key=list(file).index)
        yield report([last], f"a file has one runnable section; found {' and '.join(runnable)}", key=True)
    elif not runnable:
        allowed = ", ".join(f"`{name}:`" for name in _RUNNABLE[1:-1])
        yield report([], f"nothing to run: write `agent: NAME`, {allowed} or `batch:`")
    for name in runnable:
        if file[name] is None:
            yield report([name], f"`{name}:` is empty; write what is to be run", key=True)
    if isinstance(agent := file.get("agent"), str) and "input" not in items(file.get("inputs")):
        yield report(
            ["agent"],
            f"`agent: {agent[:60]}` takes the input named `input`, which is not declared; "
            "declare it under inputs, or write {use: NAME, input: TEMPLATE}",
        )
    team = file.get("team")
    if isinstance(team, dict) and "input" not in team and "input" not in items(file.get("inputs")):
        message = (
            "the leader is told the input named `input`, which is not declared; declare it, or write `input:`"
        )
        yield report(["team"], message, key=True)


def _references(file: Mapping[str, JsonValue], report: Report) -> Iterator[Problem]:
    for kind, section, field, single in (
        ("endpoint", "agents", "endpoint", True),
        ("endpoint", "endpoints", "fallback", False),
        ("pool", "endpoints", "pool", True),
        ("tool", "agents", "tools", False),
        ("agent", "agents", "agents", False),
        ("agent", "agents", "handoffs", False),
    ):
        for owner, body in items(file.get(section)).items():
            value = items(body).get(field)
            names = (
                {(): value}
                if single
                else {(i,): v for i, v in enumerate(value if isinstance(value, list) else [])}
            )
            for index, name in names.items():
                path = (section, owner, field, *index)
                if isinstance(name, str):
                    yield from _known(kind, name, items(file.get(f"{kind}s")), path, report)
                    if section == f"{kind}s" and name == owner and field != "handoffs":
                        yield report(path, f"`{name}` stands in its own `{field}`")
    for section, field in (("agents", "agents"), ("endpoints", "fallback")):
        yield from _cycles(section, field, items(file.get(section)), report)
    agent = file.get("agent")
    use = agent if isinstance(agent, str) else items(agent).get("use")
    if isinstance(use, str):
        place = ["agent"] if isinstance(agent, str) else ["agent", "use"]
        yield from _known("agent", use, items(file.get("agents")), place, report)
    for name, slow in items(items(file.get("dual")).get("slow")).items():
        if isinstance(thinker := items(slow).get("agent"), str):
            yield from _known(
                "agent", thinker, items(file.get("agents")), ["dual", "slow", name, "agent"], report
            )
    asked = items(file.get("batch")).get("endpoint")
    if isinstance(asked, str):
        yield from _known("endpoint", asked, items(file.get("endpoints")), ["batch", "endpoint"], report)


def _team(file: Mapping[str, JsonValue], report: Report) -> Iterator[Problem]:
    """Yield what is wrong with the agents of a team."""
    team, agents = items(file.get("team")), items(file.get("agents"))
    leader, listed = team.get("leader"), team.get("workers")
    workers = listed if isinstance(listed, list) else []
    if isinstance(leader, str):
        yield from _known("agent", leader, agents, ["team", "leader"], report)
        if "limits" in items(agents.get(leader)):
            message = "a team's leader has the limits of the file; write `limits:` at its top"
            yield report(["agents", leader, "limits"], message, key=True)
    for index, name in enumerate(workers):
        if not isinstance(name, str):
            continue
        yield from _known("agent", name, agents, ["team", "workers", index], report)
        if name in workers[:index]:
            yield report(["team", "workers", index], f"`{name[:60]}` is already a worker")
        elif name == leader:
            yield report(
                ["team", "workers", index], f"`{name[:60]}` leads the team, so it is no worker of it"
            )
    for names, taken, whose in (([leader], TEAM_COMMANDS, "leader"), (workers, TEAM_DUTIES, "worker")):
        for name in names:
            for field in ("tools", "agents"):
                used = items(agents.get(name)).get(field) if isinstance(name, str) else None
                for index, tool in enumerate(used if isinstance(used, list) else []):
                    if tool in taken:
                        message = f"a team's {whose} has a tool of its own for `{tool}`; rename this one"
                        yield report(["agents", str(name), field, index], message)


def _sessions(file: Mapping[str, JsonValue], report: Report) -> Iterator[Problem]:
    """Yield what is wrong with how agents are reached and what they hear."""
    endpoints = items(file.get("endpoints"))
    for name, body in items(file.get("agents")).items():
        agent = items(body)
        carrier = agent.get("carrier")
        model = items(endpoints.get(str(agent.get("endpoint")))).get("model")
        if isinstance(carrier, str) and isinstance(model, str):
            here = model.startswith("in-flight:")
            if (carrier == "in-flight") != here and (carrier != "cml-text" or not here):
                which = "is reached by `in-flight`" if here else "is not in this process (`in-flight:NAME`)"
                yield report(["agents", name, "carrier"], f'the model "{model[:60]}" {which}')
        heard: set[JsonValue] = set()
        timers = agent.get("timers")
        for index, timer in enumerate(timers if isinstance(timers, list) else []):
            called = items(timer).get("name", "timer")
            if isinstance(called, str) and called in heard:
                message = f"two timers are named `{called[:60]}`; give each a `name:` of its own"
                yield report(["agents", name, "timers", index], message)
            elif called in ("user", "system", "agent"):
                yield report(["agents", name, "timers", index, "name"], f"`{called}` is no timer's name")
            heard.add(called if isinstance(called, str) else None)


def _known(
    kind: str, name: str, names: Mapping[str, JsonValue], path: Path, report: Report
) -> Iterator[Problem]:
    if name not in names:
        near = did_you_mean(name, names)
        yield report(path, f"unknown {kind} `{name[:60]}`; allowed: {one_of(names)}{near}")


def _cycles(section: str, field: str, bodies: Mapping[str, JsonValue], report: Report) -> Iterator[Problem]:
    graph: dict[str, list[str]] = {}
    for name, body in bodies.items():
        value = items(body).get(field)
        used = value if isinstance(value, list) else []
        graph[name] = [n for n in used if isinstance(n, str) and n in bodies and n != name]
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        loop = list(reversed(error.args[1]))
        yield report([section, loop[0], field], f"a cycle in `{field}`: {' -> '.join(loop)}", key=True)


def _models(file: Mapping[str, JsonValue], report: Report) -> Iterator[Problem]:
    """Which schemes there are is the runtime's to know; here, that a model can be found at all."""
    for name, body in items(file.get("endpoints")).items():
        endpoint = items(body)
        model, path = endpoint.get("model"), ["endpoints", name, "model"]
        if not isinstance(model, str) or not model:
            continue
        scheme, colon, rest = model.partition(":")
        if colon and not rest.strip():
            yield report(path, f"`{scheme[:40]}:` needs a name after it")
        elif colon and scheme in FREE_SCHEMES and "base_url" in endpoint:
            yield report([*path[:2], "base_url"], f"a `{scheme}:` model has no base_url", key=True)
        elif not colon and "base_url" not in endpoint:
            yield report(
                path, f'"{model[:60]}" names no provider; write `openai:{model[:60]}`, or add base_url'
            )


def _money(file: Mapping[str, JsonValue], report: Report) -> Iterator[Problem]:
    endpoints, agents = items(file.get("endpoints")), items(file.get("agents"))
    limits: list[tuple[Path, JsonValue, list[str]]] = [
        (("limits", "money"), file.get("limits"), list(agents))
    ]
    limits += [
        (("agents", name, "limits", "money"), items(body).get("limits"), [name])
        for name, body in agents.items()
    ]
    for path, limit, limited in limits:
        if items(limit).get("money") is None:
            continue
        wanted = [name for agent in limited if isinstance(name := items(agents[agent]).get("endpoint"), str)]
        if path == ("limits", "money"):
            asked = items(items(file.get("review")).get("reviewers")).values()
            wanted += [name for each in asked if isinstance(name := items(each).get("endpoint"), str)]
            scientist = items(items(file.get("tournament")).get("scientist"))
            named = [
                scientist.get("endpoint"),
                scientist.get("embed"),
                *items(scientist.get("roles")).values(),
            ]
            wanted += [name for name in named if isinstance(name, str)]
        seen: set[str] = set()
        while wanted:
            name = wanted.pop()
            endpoint = items(endpoints.get(name))
            if name in seen or not endpoint:
                continue
            seen.add(name)
            fallback = endpoint.get("fallback")
            wanted += [n for n in fallback if isinstance(n, str)] if isinstance(fallback, list) else []
        for name in sorted(seen):
            endpoint = items(endpoints[name])
            free = str(endpoint.get("model", "")).partition(":")[0] in FREE_SCHEMES
            if not free and not items(endpoint.get("price")):
                yield report(
                    path,
                    f"a money limit needs the price of endpoint `{name}`; "
                    "add `price: {input: …, output: …}` (USD per million tokens) to it",
                )


def _tool_names(file: Mapping[str, JsonValue], report: Report) -> Iterator[Problem]:
    for name, body in items(file.get("agents")).items():
        taken: dict[str, str] = {}
        for field in ("tools", "agents"):
            value = items(body).get(field)
            for index, used in enumerate(value if isinstance(value, list) else []):
                if isinstance(used, str):
                    if used in taken:
                        yield report(
                            ["agents", name, field, index], f"`{used}` is already in `{taken[used]}`"
                        )
                    taken.setdefault(used, field)


def _secrets(file: Mapping[str, JsonValue], report: Report) -> Iterator[Problem]:
    for path, value in walk(dict(file)):
        if not isinstance(value, str) or not path:
            continue
        header = "headers" in path and names_secret(str(path[-1])) and "{{" not in value
        if header or looks_secret(value):
            hint = (
                "write headers_env"
                if "headers" in path
                else "put it into the environment and name the variable"
            )
            yield report(path, f"`{path[-1]}` looks like a key, and keys never stand in a file; {hint}")
