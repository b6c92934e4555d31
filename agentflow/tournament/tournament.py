"""Tournament: items compared two at a time by a judge, until it is sure enough who is best."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from agentflow.errors import UserError
from agentflow.runtime.context import Context
from agentflow.tournament.agents import Agents, Board, Look, Make, Maker, Reject, Review, Study
from agentflow.tournament.judging import Judge
from agentflow.tournament.pairing import Objective
from agentflow.tournament.report import EXPERT, Standing, TournamentReport
from agentflow.tournament.supervisor import FixedWeights, Supervisor, ThompsonWeights

if TYPE_CHECKING:
    from agentflow.tournament.play import Play

__all__ = ["Tournament"]

Item = TypeVar("Item")


class Tournament(Generic[Item]):
    """Find the best of `items`; run it with None, or further items. The output is a `TournamentReport`.

    An item is anything with a JSON form; its id is a hash of that, or what `id` returns. Items with the
    same id are one; with `similar`, so are items that it calls the same; those that
    `near` calls alike, from 0 to 1, meet more often. `judge` is an async function of
    a `Context` and a `Match` that returns `first`, `second` or `tie`, as the last line of a text or as
    `{"winner": …}`; or an agent, which is asked in words. `debate`, likewise, judges matches within the
    best `k`. A judge that gives no verdict is asked again, three times at most; then the match is void.

    Up to `concurrency` matches and agents are at work, with no rounds: who is free takes what tells most
    by then. `agents` make items, look at one, or study all (`Make`, `Look`, `Study`); `generate` and
    `evolve` are makers, `review` a look, given as plain functions. Whose turn it is, is drawn by the
    `supervisor` (`ThompsonWeights` unless told), or by `weights` of `match` and agents' names. Up to
    `most_items` items come in. A match that takes longer than `match_timeout` seconds, or whose endpoint
    fails, is played anew, twice at most; an agent whose endpoint fails three times in a row fails the
    run, which may go on later.

    It ends when no more items come and it is sure enough: the best k are expected to overlap with the truth
    by `stop_overlap` (`top_k`), or the order to have a Kendall's tau of `stop_order` with it (`full_order`);
    None is never. Or after `max_matches` (15 for each item when None), when a limit is reached, or when a
    study halts it.
    """

    kind = "tournament"
    output_type = TournamentReport

    def __init__(
        self,
        goal: str,
        *,
        judge: Judge[Item],
        items: Sequence[Item] = (),
        debate: Judge[Item] | None = None,
        generate: Maker[Item] | None = None,
        evolve: Maker[Item] | None = None,
        review: Review[Item] | None = None,
        agents: Agents[Item] | None = None,
        supervisor: Supervisor | None = None,
        objective: Objective = "top_k",
        k: int = 5,
        concurrency: int = 16,
        max_matches: int | None = None,
        stop_overlap: float | None = 0.85,
        stop_order: float | None = 0.85,
        match_timeout: float | None = 300.0,
        most_items: int = 64,
        weights: Mapping[str, float] | None = None,
        parallel_rematch: int = 1,
        id: Callable[[Item], str] | None = None,
        similar: Callable[[Item, Item], bool] | None = None,
        near: Callable[[Item, Item], float] | None = None,
        item_type: object = None,
        seed: int = 0,
        name: str = "tournament",
    ) -> None:
        self.agents = _agents(name, generate, evolve, review, agents or {})
        numbers = {"k": k, "concurrency": concurrency, "parallel_rematch": parallel_rematch}
        _check_numbers(name, {**numbers, "max_matches": max_matches}, stop_overlap, stop_order, match_timeout)
        _check(name, objective, {"judge": judge, "debate": debate})
        if not items and not self.makes:
            raise UserError(f"{name}: there is nothing to compare: give items= or generate=")
        self.goal = goal
        self.judge, self.debate = judge, debate
        self.items = tuple(items)
        self.objective = objective
        self.k, self.concurrency, self.max_matches = k, concurrency, max_matches
        self.stop = stop_overlap if objective == "top_k" else stop_order
        self.match_timeout = match_timeout
        self.most_items = most_items
        self.supervisor = _supervisor(name, self.agents, supervisor, weights)
        self.parallel_rematch = parallel_rematch
        self.id = id
        self.similar, self.near = similar, near
        self.item_type = item_type
        self.seed = seed
        self.name = name

    @property
    def makes(self) -> Mapping[str, Make[Item]]:
        """The agents that make items."""
        return {name: agent for name, agent in self.agents.items() if isinstance(agent, Make)}

    @property
    def looks(self) -> Mapping[str, Look[Item]]:
        """The agents that review items that play already."""
        found = self.agents.items()
        return {name: agent for name, agent in found if isinstance(agent, Look) and not agent.gate}

    @property
    def gates(self) -> Sequence[str]:
        """The agents without whose review no item plays, in their order."""
        return [name for name, agent in self.agents.items() if isinstance(agent, Look) and agent.gate]

    @property
    def memos(self) -> Sequence[str]:
        """The agents whose reviews no judge sees."""
        return [name for name, agent in self.agents.items() if isinstance(agent, Look) and agent.memo]

    @property
    def studies(self) -> Mapping[str, Study[Item]]:
        """The agents that study all."""
        return {name: agent for name, agent in self.agents.items() if isinstance(agent, Study)}

    async def __run__(
        self, context: Context[object], input: Sequence[Item] | None = None, /
    ) -> TournamentReport[Item]:
        """Play until it ends. Raises what a judge or a maker raises, once nothing of it runs any more."""
        from agentflow.tournament.play import Play

        play: Play[Item] = Play(self, context)
        context.state.live = play
        try:
            play.restore([*self.items, *(input or ())])
            return await play.work()
        finally:
            play.close()


def _agents(
    name: str,
    generate: Maker[Item] | None,
    evolve: Maker[Item] | None,
    review: Review[Item] | None,
    agents: Agents[Item],
) -> Agents[Item]:
    """Return all agents by name: those that are given as plain functions first."""
    found: dict[str, Make[Item] | Look[Item] | Study[Item]] = {}
    if generate is not None:
        found["generate"] = Make(generate)
    if evolve is not None:
        found["evolve"] = Make(evolve, needs=2)
    if review is not None:
        found["review"] = Look(_reviewing(review))
    for each, agent in agents.items():
        if each in (*found, "match", EXPERT, "given", "person") or "/" in each:
            raise UserError(f"{name}: no agent can be named {each!r}: the name means something else")
        if not isinstance(agent, Make | Look | Study):
            raise UserError(f"{name}: agent {each} is a Make, a Look or a Study, not {str(agent)[:60]!r}")
        found[each] = agent
    return found


def _reviewing(
    review: Review[Item],
) -> Callable[[Context[object], Standing[Item], Board[Item]], Awaitable[str | Reject]]:
    async def look(context: Context[object], standing: Standing[Item], board: Board[Item]) -> str | Reject:
        return await review(context, standing.item, board.goal)

    return look


def _supervisor(
    name: str, agents: Agents[Item], given: Supervisor | None, weights: Mapping[str, float] | None
) -> Supervisor:
    """Return who draws: the one that was given, fixed weights where these were, or else yields decide."""
    if weights is None:
        return given or ThompsonWeights()
    if given is not None:
        raise UserError(f"{name}: supervisor and weights are two ways to say one thing: give one of them")
    if set(weights) - {"match", *agents} or not all(weight >= 0 for weight in weights.values()):
        raise UserError(f"{name}: weights are numbers of 0 or more for {', '.join(('match', *agents))}")
    return FixedWeights(dict(weights))


def _check(name: str, objective: str, judges: Mapping[str, object]) -> None:
    if objective not in ("top_k", "full_order"):
        raise UserError(f"{name}: objective is top_k or full_order, not {objective!r}")
    for what, who in judges.items():
        if who is not None and not callable(who) and not hasattr(who, "__run__"):
            raise UserError(f"{name}: {what} is an async function or an agent, not {str(who)[:60]!r}")


def _check_numbers(
    name: str,
    numbers: Mapping[str, int | None],
    stop_overlap: float | None,
    stop_order: float | None,
    match_timeout: float | None,
) -> None:
    for what, number in numbers.items():
        least = 0 if what == "max_matches" else 1
        if number is not None and number < least:
            raise UserError(f"{name}: {what} must be {least} or more, not {number}")
    for what, stop in (("overlap", stop_overlap), ("order", stop_order)):
        if stop is not None and not 0 < stop <= 1:
            raise UserError(f"{name}: stop_{what} lies above 0 and at most at 1, not {stop:g}")
    if match_timeout is not None and not match_timeout > 0:
        raise UserError(f"{name}: match_timeout is seconds above 0, not {match_timeout:g}")
