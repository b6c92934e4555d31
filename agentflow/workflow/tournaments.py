"""The `tournament:` section of workflow files: the tournament that the SDK builds."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

import pydantic
import pydantic_core

from agentflow.agent import Agent
from agentflow.endpoints import Endpoint
from agentflow.errors import UserError
from agentflow.runtime import Context
from agentflow.runtime.ledger import decode
from agentflow.tournament import (
    Agents,
    Board,
    Halt,
    Judge,
    Look,
    Make,
    Match,
    Reject,
    Standing,
    Study,
    Supervisor,
    ThompsonWeights,
    Tournament,
)
from agentflow.tournament.report import EXPERT
from agentflow.tournament.scientist import CoScientist, Hypothesis, ResearchPlan
from agentflow.workflow.build import AnyTool
from agentflow.workflow.check import folder_of
from agentflow.workflow.modules import load_function
from agentflow.workflow.templates import render
from agentflow.workflow.tournament_faults import MATCH
from agentflow.workflow.tournament_items import items_in, items_of
from agentflow.workflow.tournament_report import (
    REPORTS,
    report_json,
    research_json,
    write_report,
    write_research,
)
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import JudgeSection, Parsed, TournamentUse, WorkerSection
from agentflow_protocols.workflow.tournament_models import RESEARCHERS

__all__ = ["build_scientist", "build_tournament", "run_tournament"]

Build = Callable[[str], Agent[object, Json]]
Item = object
Place = tuple[str, ...]

_EVOLVED = 2  # items that play before `evolve` is asked
_MOST_HYPOTHESES, _RESEARCH_TIMEOUT = 48, 600.0  # where a file says nothing
_TITLE = 80  # characters of the title of a hypothesis that is given as a text
_LEFT = 30  # items of a ranking that an agent without a prompt is told
_SHOWN = 4_000  # characters of an item, or of advice, that an agent without a prompt is told


@dataclass(slots=True)
class _Build:
    """What the parts of a tournament are built from."""

    use: TournamentUse
    agents: Build
    inputs: Mapping[str, Json]
    functions: Mapping[Place, object]
    item_type: object = None

    def render(self, value: Json, where: str, **names: object) -> Json:
        """Return a value with its templates rendered."""
        return render(value, {"inputs": self.inputs, **names}, f"tournament.{where}")

    def text(self, value: str, where: str, **names: object) -> str:
        """Return a template, rendered as text."""
        return _text(self.render(value, where, **names))

    def items(self, values: Sequence[Json], where: str) -> list[Item]:
        """Return items as their type. Raises `UserError`."""
        if self.item_type is None:
            return list(values)
        if self.item_type is Hypothesis:
            values = [_hypothesis(value, where) for value in values]
        try:
            return [decode(json.dumps(value).encode(), self.item_type) for value in values]
        except pydantic.ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in fault["loc"])
            kind = self.use.item_type or "Hypothesis"
            message = f"tournament.{where}: an item is no {kind}: {place}: {fault['msg']}"
            raise UserError(message) from None

    def board(self, board: Board[Item]) -> dict[str, object]:
        """Return a board as templates see it."""
        plain = cast("dict[str, object]", _plain({"ranking": board.ranking, "lately": board.lately}))
        ranking = cast("list[object]", plain["ranking"])
        best = ranking[: self.use.k]
        advice = self.advice(board.advice)
        return {**plain, "best": best, "goal": board.goal, "advice": advice, "judged": board.judged}

    def advice(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return advice by its topics, which is empty before it was given."""
        topics = [place[-1] for place, kind, _ in self.use.workers() if kind == "study"]
        return {**dict.fromkeys((*topics, EXPERT), ""), **given}


async def run_tournament(
    name: str,
    use: TournamentUse,
    parsed: Parsed,
    build: Build,
    endpoints: Mapping[str, Endpoint],
    tools: Mapping[str, AnyTool],
    inputs: Mapping[str, Json],
    context: Context[object],
) -> Json:
    """Play the tournament of a file, write its report, and return it as JSON."""
    folder = folder_of(parsed)
    file = None
    if written := _text(render(use.report or "", {"inputs": inputs}, "tournament.report")):
        file = folder / written
        if file.suffix.lower() not in REPORTS or not file.parent.is_dir():
            raise UserError(
                f"tournament.report: {file.name[:60]} is no {', '.join(REPORTS)} file in a folder"
            )
    found: dict[str, Json]
    if use.scientist is not None:
        scientist = build_scientist(name, use, folder, build, endpoints, tools, inputs)
        _begin(context, use, scientist.goal)
        researched = await scientist.__run__(context)
        found = research_json(researched)
        if file is not None:
            write_research(file, researched)
    else:
        tournament = build_tournament(name, use, folder, build, inputs)
        _begin(context, use, tournament.goal)
        report = await tournament.__run__(context)
        found = report_json(report)
        if file is not None:
            write_report(file, report, k=use.k)
    return {**found, "report": None if file is None else str(file)}


def _begin(context: Context[object], use: TournamentUse, goal: str) -> None:
    """Tell whoever looks on what begins."""
    workers: dict[str, Json] = {}
    if use.scientist is not None:
        workers |= {name: kind for name, kind in RESEARCHERS.items() if name not in use.scientist.without}
    workers |= {place[-1]: kind for place, kind, _ in use.workers()}
    stop: Json = use.stop_overlap if use.objective == "top_k" else use.stop_order
    context.emit("tournament", {"goal": goal, "k": use.k, "stop": stop, "agents": workers})


def build_scientist(
    name: str,
    use: TournamentUse,
    folder: Path,
    build: Build,
    endpoints: Mapping[str, Endpoint],
    tools: Mapping[str, AnyTool],
    inputs: Mapping[str, Json],
) -> CoScientist:
    """Return the CoScientist that a section describes. Raises `UserError` for what its functions are not."""
    said = use.scientist
    assert said is not None
    functions = _functions(use, folder)
    made = _Build(use, build, inputs, functions, Hypothesis)
    agents: dict[str, Make[Hypothesis] | Look[Hypothesis] | Study[Hypothesis] | None]
    agents = dict.fromkeys(said.without)
    for place, kind, worker in use.workers():
        agents[place[-1]] = cast("Make[Hypothesis]", _worker(made, place, kind, worker))
    return CoScientist(
        made.text(use.goal, "goal"),
        model=endpoints[said.endpoint],
        models={role: endpoints[each] for role, each in said.roles.items()},
        plan=None if said.plan is None else ResearchPlan(**said.plan.model_dump(exclude_defaults=True)),
        hypotheses=cast("list[Hypothesis]", _items(made, folder)),
        documents=[folder / document for document in said.documents],
        search=[tools[tool] for tool in said.search],
        embed=None if said.embed is None else endpoints[said.embed],
        same=said.same,
        agents=agents,
        supervisor=_supervisor(use, functions.get(("supervisor",))),
        weights=use.weights,
        debates=said.debates,
        turns=said.turns,
        each_time=said.each_time,
        k=use.k,
        most_hypotheses=use.most_items if "most_items" in use.model_fields_set else _MOST_HYPOTHESES,
        max_matches=use.max_matches,
        stop_overlap=use.stop_overlap,
        concurrency=use.concurrency,
        match_timeout=use.match_timeout if "match_timeout" in use.model_fields_set else _RESEARCH_TIMEOUT,
        formats=said.formats,
        seed=_seed(made),
        name=name,
    )


def build_tournament(
    name: str, use: TournamentUse, folder: Path, build: Build, inputs: Mapping[str, Json]
) -> Tournament[Item]:
    """Return the Tournament that a section describes. Raises `UserError` for what its functions are not."""
    judge = use.judge
    assert judge is not None
    functions = _functions(use, folder)
    made = _Build(use, build, inputs, functions, functions.get(("item_type",)))
    agents: dict[str, Make[Item] | Look[Item] | Study[Item]] = {
        place[-1]: _worker(made, place, kind, worker) for place, kind, worker in use.workers()
    }
    return Tournament(
        made.text(use.goal, "goal"),
        judge=_judge(made, "judge", judge),
        items=_items(made, folder),
        debate=None if use.debate is None else _judge(made, "debate", use.debate),
        agents=cast("Agents[Item]", agents),
        supervisor=_supervisor(use, functions.get(("supervisor",))),
        objective=use.objective,
        k=use.k,
        concurrency=use.concurrency,
        max_matches=use.max_matches,
        stop_overlap=use.stop_overlap,
        stop_order=use.stop_order,
        match_timeout=use.match_timeout,
        most_items=use.most_items,
        weights=use.weights,
        parallel_rematch=use.parallel_rematch,
        id=_id(use, functions.get(("id",))),
        similar=cast("Callable[[Item, Item], bool] | None", functions.get(("similar",))),
        near=cast("Callable[[Item, Item], float] | None", functions.get(("near",))),
        item_type=made.item_type,
        seed=_seed(made),
        name=name,
    )


def _hypothesis(value: Json, where: str) -> Json:
    """Return what a hypothesis is made of: a text is its statement; a worker's has the worker's name."""
    if isinstance(value, str):
        value = {"title": " ".join(value.split())[:_TITLE], "statement": value}
    if isinstance(value, dict) and where != "items":
        value = {"method": where.rpartition(".")[2], **value}
    return value


def _functions(use: TournamentUse, folder: Path) -> dict[Place, object]:
    loaded: dict[Path, ModuleType] = {}
    found: dict[Place, object] = {}
    for place, reference in use.functions().items():
        function = found[place] = load_function(reference, folder, loaded)
        where = f"tournament.{'.'.join(place)}"
        if place == ("supervisor",):
            continue
        if not callable(function):
            raise UserError(f"{where}: `{reference}` is no function")
        waits = place[-1] == "function"
        if place != ("item_type",) and waits != inspect.iscoroutinefunction(function):
            kind = "an async" if waits else "a plain"
            raise UserError(f"{where}: `{reference}` must be {kind} function")
    return found


def _items(made: _Build, folder: Path) -> list[Item]:
    said = made.use.items
    if isinstance(said, str) and "{{" not in said:
        return made.items(items_in(folder / said), "items")
    values = made.render(said, "items")
    if isinstance(values, str):
        values = cast("Json", items_in(folder / values))
    if not isinstance(values, list):
        raise UserError(f"tournament.items: a list, or the name of a file, not {str(values)[:60]!r}")
    return made.items(values, "items")


def _id(use: TournamentUse, function: object) -> Callable[[Item], str] | None:
    if use.id is None:
        return None
    if function is not None:
        return lambda item: str(cast("Callable[[Item], object]", function)(item))
    name = use.id

    def id_of(item: Item) -> str:
        found = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
        if found is None:
            raise UserError(f"tournament.id: an item has no field `{name[:60]}`: {str(item)[:60]}")
        return str(found)

    return id_of


def _seed(made: _Build) -> int:
    seed = made.render(made.use.seed, "seed")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UserError(f"tournament.seed: a seed is a whole number, not {str(seed)[:60]!r}")
    return seed


def _supervisor(use: TournamentUse, said: object) -> Supervisor | None:
    if use.supervisor is None:
        return None
    if said is None:
        return ThompsonWeights(**use.supervisor.model_dump(exclude_none=True))
    found = said
    if callable(said) and (isinstance(said, type) or not hasattr(said, "weigh")):
        try:
            found = said()
        except TypeError as error:
            raise UserError(
                f"tournament.supervisor: {use.supervisor.function} can't be called: {error}"
            ) from error
    if not hasattr(found, "weigh"):
        raise UserError(
            f"tournament.supervisor: `{use.supervisor.function}` has no `weigh`: it is no Supervisor"
        )
    return cast("Supervisor", found)


def _judge(made: _Build, place: str, section: JudgeSection) -> Judge[Item]:
    if section.agent is None:
        return cast("Judge[Item]", made.functions[place, "function"])
    agent, prompt = made.agents(section.agent), section.prompt

    async def judge(context: Context[object], match: Match[Item]) -> str:
        text = match.as_text()
        if prompt is not None:
            told = cast("dict[str, object]", _plain({name: getattr(match, name) for name in sorted(MATCH)}))
            told["advice"] = made.advice(match.advice)
            names = {name: told[name] for name in ("goal", "first", "second")}
            text = made.text(prompt, f"{place}.prompt", match=told, **names)
        return _text((await context.run(agent, text, key=f"judge-{match.again + 1}")).output)

    return judge


def _worker(
    made: _Build, place: Place, kind: str, section: WorkerSection
) -> Make[Item] | Look[Item] | Study[Item]:
    function = made.functions.get((*place, "function"))
    if kind == "make":
        needs = section.needs if section.needs is not None else _EVOLVED if place == ("evolve",) else 0
        work = function or _maker(made, place, section)
        return Make(cast("Callable[..., Awaitable[list[Item]]]", work), needs, section.at_once or 1)
    if kind == "look":
        look = cast("Callable[..., Awaitable[str | Reject]]", function or _looker(made, place, section))
        return Look(look, _due(made, place, section), section.again or 0, section.gate, section.memo)
    study = cast("Callable[..., Awaitable[str | Halt]]", function or _student(made, place, section))
    return Study(study, section.every or 0, section.on_goal, section.gate)


def _maker(made: _Build, place: Place, section: WorkerSection) -> object:
    agent, where = made.agents(cast("str", section.agent)), ".".join(place)

    async def make(context: Context[object], board: Board[Item]) -> list[Item]:
        text = (
            _told(board) + "\n\nWrite new ones that serve the goal better, a line each that begins with `- `."
        )
        if section.prompt is not None:
            text = made.text(section.prompt, f"{where}.prompt", goal=board.goal, board=made.board(board))
        answer = (await context.run(agent, text, key="agent")).output
        return made.items(items_of(answer, whole=section.whole), where)

    return make


def _looker(made: _Build, place: Place, section: WorkerSection) -> object:
    agent, where = made.agents(cast("str", section.agent)), ".".join(place)

    async def look(context: Context[object], standing: Standing[Item], board: Board[Item]) -> str | Reject:
        text = f"Goal: {board.goal}\n\n{_text(_plain(standing.item))}\n\nReview it, in a few sentences:"
        text += " how far does it serve the goal, and what does it lack?"
        names: dict[str, object] = {}
        if section.prompt is not None or section.reject is not None:
            names = {"goal": board.goal, "board": made.board(board), **_seen(standing)}
        if section.prompt is not None:
            text = made.text(section.prompt, f"{where}.prompt", **names)
        answer = (await context.run(agent, text, key="agent")).output
        why = _why(made, section.reject, f"{where}.reject", answer, names)
        return _text(answer) if why is None else Reject(why)

    return look


def _student(made: _Build, place: Place, section: WorkerSection) -> object:
    agent, where = made.agents(cast("str", section.agent)), ".".join(place)

    async def study(context: Context[object], board: Board[Item]) -> str | Halt:
        text = (
            _told(board)
            + "\n\nWhat do the best have in common, and what do the others lack? Advise, in a few"
        )
        text += " sentences, whoever writes new ones."
        names = {"goal": board.goal, "board": made.board(board)}
        if section.prompt is not None:
            text = made.text(section.prompt, f"{where}.prompt", **names)
        answer = (await context.run(agent, text, key="agent")).output
        why = _why(made, section.halt, f"{where}.halt", answer, names)
        return _text(answer) if why is None else Halt(why)

    return study


def _due(made: _Build, place: Place, section: WorkerSection) -> Callable[[Standing[Item]], bool] | None:
    template = section.due
    if template is None:
        return None
    where = f"{'.'.join(place)}.due"
    return lambda standing: bool(made.render(template, where, **_seen(standing)))


def _seen(standing: Standing[Item]) -> dict[str, object]:
    plain = cast("dict[str, object]", _plain(standing))
    return {"item": plain["item"], "standing": plain}


def _why(
    made: _Build, template: str | None, where: str, answer: Json, names: Mapping[str, object]
) -> str | None:
    """Return why something has to go: what a template gives, or the answer where that is just true."""
    said = None if template is None else made.render(template, where, answer=answer, **names)
    if not said:
        return None
    return said if isinstance(said, str) else _text(answer)[:500]


def _told(board: Board[Item]) -> str:
    """Return a board as an agent without a prompt is told it."""
    lines = [f"Goal: {board.goal}"]
    lines += [f"Advice ({name}): {_set_off(text)}" for name, text in board.advice.items() if text]
    if board.ranking:
        shown = [f"{each.rank}. {_set_off(_text(_plain(each.item)))}" for each in board.ranking[:_LEFT]]
        lines.append("The ranking so far, best first:\n" + "\n".join(shown))
    return "\n\n".join(lines)


def _set_off(text: str) -> str:
    """Return a text cut, its further lines set in, so that none looks like a part of a prompt."""
    return "\n   ".join(text[:_SHOWN].splitlines())


def _plain(value: object) -> Json:
    return cast("Json", pydantic_core.to_jsonable_python(value))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
