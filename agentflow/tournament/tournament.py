"""Tournament: items compared two at a time by a judge, until it is sure enough who is best."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from agentflow.errors import UserError
from agentflow.runtime.context import Context
from agentflow.tournament.judging import Judge
from agentflow.tournament.pairing import Objective
from agentflow.tournament.report import Standing, TournamentReport

if TYPE_CHECKING:
    from agentflow.tournament.play import Play

__all__ = ["Board", "Maker", "Review", "Tournament"]

Item = TypeVar("Item")

WEIGHTS: Mapping[str, float] = {"match": 0.9, "generate": 0.05, "evolve": 0.05}


@dataclass(frozen=True, slots=True)
class Board(Generic[Item]):
    """What makers of items and reviewers are shown: the goal, and the ranking so far, best first."""

    goal: str
    ranking: Sequence[Standing[Item]]


Maker: TypeAlias = Callable[[Context[object], Board[Item]], Awaitable[Sequence[Item]]]
Review: TypeAlias = Callable[[Context[object], Item, str], Awaitable[str]]


class Tournament(Generic[Item]):
    """Find the best of `items`; run it with None, or further items. The output is a `TournamentReport`.

    An item is anything with a JSON form; its id is a hash of that, or what `id` returns. Items with the
    same id are one; with `similar`, so are items that it calls the same. `judge` is an async function of
    a `Context` and a `Match` that returns `first`, `second` or `tie`, as the last line of a text or as
    `{"winner": …}`; or an agent, which is asked in words. `debate`, likewise, judges matches within the
    best `k`. A judge that gives no verdict is asked again, three times at most; then the match is void.

    Up to `concurrency` matches are under way, with no rounds: who is free takes the pair that tells most
    by then. `generate` and `evolve` make new items beside, `review` writes a note that judges see; what is
    done next is drawn by `weights` (`match`, `generate`, `evolve`), up to `most_items`. A match that takes
    longer than `match_timeout` seconds, or whose endpoint fails, is played anew, twice at most.

    It ends when the best k are expected to overlap with the truth by `stop_overlap` (`top_k`; None is
    never), after `max_matches` (15 for each item when None), or when a limit is reached.
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
        objective: Objective = "top_k",
        k: int = 5,
        concurrency: int = 16,
        max_matches: int | None = None,
        stop_overlap: float | None = 0.85,
        match_timeout: float | None = 300.0,
        most_items: int = 64,
        weights: Mapping[str, float] = WEIGHTS,
        parallel_rematch: int = 1,
        id: Callable[[Item], str] | None = None,
        similar: Callable[[Item, Item], bool] | None = None,
        item_type: object = None,
        seed: int = 0,
        name: str = "tournament",
    ) -> None:
        for what, number, least in (
            ("k", k, 1),
            ("concurrency", concurrency, 1),
            ("parallel_rematch", parallel_rematch, 1),
            ("max_matches", max_matches or 0, 0),
        ):
            if number < least:
                raise UserError(f"{name}: {what} must be {least} or more, not {number}")
        if objective not in ("top_k", "full_order"):
            raise UserError(f"{name}: objective is top_k or full_order, not {objective!r}")
        _check(name, stop_overlap, match_timeout, weights, {"judge": judge, "debate": debate})
        if not items and generate is None:
            raise UserError(f"{name}: there is nothing to compare: give items= or generate=")
        self.goal = goal
        self.judge = judge
        self.items = tuple(items)
        self.debate = debate
        self.makers = {
            kind: maker for kind, maker in (("generate", generate), ("evolve", evolve)) if maker is not None
        }
        self.review = review
        self.objective = objective
        self.k = k
        self.concurrency = concurrency
        self.max_matches = max_matches
        self.stop_overlap = stop_overlap
        self.match_timeout = match_timeout
        self.most_items = most_items
        self.weights = dict(weights)
        self.parallel_rematch = parallel_rematch
        self.id = id
        self.similar = similar
        self.item_type = item_type
        self.seed = seed
        self.name = name

    async def __run__(
        self, context: Context[object], input: Sequence[Item] | None = None, /
    ) -> TournamentReport[Item]:
        """Play until it ends. Raises what a judge or a maker raises, once nothing of it runs any more."""
        from agentflow.tournament.play import Play

        play: Play[Item] = Play(self, context)
        context.state.live = play
        return await play.work([*self.items, *(input or ())])


def _check(
    name: str,
    stop_overlap: float | None,
    match_timeout: float | None,
    weights: Mapping[str, float],
    judges: Mapping[str, object],
) -> None:
    for what, who in judges.items():
        if who is not None and not callable(who) and not hasattr(who, "__run__"):
            raise UserError(f"{name}: {what} is an async function or an agent, not {str(who)[:60]!r}")
    if stop_overlap is not None and not 0 < stop_overlap <= 1:
        raise UserError(f"{name}: stop_overlap lies above 0 and at most at 1, not {stop_overlap:g}")
    if match_timeout is not None and not match_timeout > 0:
        raise UserError(f"{name}: match_timeout is seconds above 0, not {match_timeout:g}")
    if set(weights) - set(WEIGHTS) or not all(weight >= 0 for weight in weights.values()):
        raise UserError(f"{name}: weights are numbers of 0 or more for {', '.join(WEIGHTS)}")
