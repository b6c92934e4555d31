"""Kitchen: Overcooked for two behind the Environment seam: our action, and a partner who is part of it."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from agentflow.environment import InvalidAction
from agentflow.errors import UserError, missing_extra
from agentflow_bench.overcooked.floor import Floor
from agentflow_bench.overcooked.partner import Partner
from agentflow_bench.overcooked.seen import ACTIONS, MOVES, Cell, Chef, Pot, Seen

if TYPE_CHECKING:
    from overcooked.mdp.overcooked_mdp import OvercookedGridworld, OvercookedState

__all__ = ["LAYOUTS", "TICKS", "Kept", "Kitchen", "floor_of"]

LAYOUTS = ("cramped_room", "asymmetric_advantages", "coordination_ring", "counter_circuit_o_1order")
"""Kitchens in which every partner leaves something to do; others of the package can be named, too."""
TICKS = 400
"""Ticks of a game."""

_TOOK = 6  # things that came into hands, as a chef's `took` has them
_SLIP = 0.1  # of its ticks the partner hesitates


@dataclass(frozen=True, slots=True)
class Kept:
    """A kitchen as it was: the package's state, which is not changed any more, and what we add to it."""

    state: OvercookedState
    seen: Seen
    ours: int
    chance: tuple[object, ...]


class Kitchen:
    """One layout and one partner; a game is `ticks` long. What is acted is one of `ACTIONS`.

    A seed gives both chefs' places, which of the layout's two players is ours, and when the partner
    hesitates (in a tenth of its ticks). A pot cooks by itself when three onions are in it, for 20
    ticks; a soup served is worth 20.
    """

    def __init__(self, layout: str, partner: Partner, *, ticks: int = TICKS) -> None:
        self.floor = floor_of(layout)
        self.partner = partner
        self.ticks = ticks
        self._mdp = _mdp(layout)
        self._events = _events()
        self.reset()

    def reset(self, seed: int | None = None) -> Seen:
        """Begin a game. Without a seed both stand where the layout has them."""
        self._chance = random.Random(f"{self.floor.name}/{seed}")
        self._ours = 0 if seed is None else seed % 2
        state = self._mdp.get_standard_start_state()
        if seed is not None:
            for player, at in zip(state.players, self._places(state), strict=True):
                player.position = at
        self._state = state
        self.theirs = "stay"
        self.moves: list[str] = []
        self._seen = self._look(0, (0, 0), ((), ()), 0)
        return self._seen

    def observe(self) -> Seen:
        """Return the kitchen as it is."""
        return self._seen

    def valid_actions(self) -> Sequence[str]:
        """Return all actions: one that does nothing is allowed."""
        return () if self.done else ACTIONS

    def act(self, action: str) -> Seen:
        """Do an action beside the partner's. Raises `InvalidAction`."""
        if self.done or action not in ACTIONS:
            valid = ", ".join(self.valid_actions()) or "none: the game is over"
            raise InvalidAction(f"{str(action)[:40]!r} is no action here; valid: {valid}")
        hesitates = self._chance.random() < _SLIP
        self.theirs = "stay" if hesitates else self.partner.act(self._seen.mirrored(), self.floor)
        self._step((action, self.theirs))
        self.moves.append(action)
        return self._seen

    @property
    def done(self) -> bool:
        """Whether the game is over."""
        return self._seen.tick >= self.ticks

    def snapshot(self) -> Kept:
        """Return the kitchen and the partner's chances."""
        return Kept(self._state.deepcopy(), self._seen, self._ours, self._chance.getstate())

    def restore(self, snapshot: Kept) -> None:
        """Go back to a snapshot."""
        self._state, self._seen = snapshot.state.deepcopy(), snapshot.seen
        self._ours = snapshot.ours
        self._chance.setstate(snapshot.chance)

    def _step(self, both: tuple[str, str]) -> None:
        """Go on by a tick, in place: the package's own step copies the whole state each time."""
        before, state = self._seen, self._state
        joint = [_ACTION[action] for action in (both if self._ours == 0 else both[::-1])]
        gained = 0
        if "interact" in both:
            rewards, _ = self._mdp.resolve_interacts(state, joint, self._events)
            gained = int(sum(rewards))
        self._mdp.resolve_movement(state, joint)
        self._mdp.step_environment_effects(state)
        self._seen = self._look(
            before.tick + 1,
            (before.chefs[0].still, before.chefs[1].still),
            (before.chefs[0].took, before.chefs[1].took),
            before.score + gained,
            before,
        )

    def _look(
        self,
        tick: int,
        still: tuple[int, int],
        took: tuple[tuple[tuple[int, str], ...], tuple[tuple[int, str], ...]],
        score: int,
        before: Seen | None = None,
    ) -> Seen:
        state = self._state
        chefs = []
        for place in (0, 1):
            player = state.players[place if self._ours == 0 else 1 - place]
            held = player.held_object
            at, holds = (player.position[0], player.position[1]), "" if held is None else str(held.name)
            quiet, hands = 0, took[place]
            if before is not None:
                was = before.chefs[place]
                if holds and holds != was.holds:
                    hands = (*hands, (tick, holds))[-_TOOK:]
                quiet = still[place] + 1 if (was.at, was.holds) == (at, holds) else 0
            chefs.append(Chef(at, _FACING[player.orientation], holds, place == 0, quiet, hands))
        objects = state.objects
        pots = tuple(_pot(at, objects.get(at)) for at in self.floor.places["pot"])
        on_counters = tuple(
            (at, str(objects[at].name)) for at in self.floor.places["counter"] if at in objects
        )
        return Seen(tick, score, (chefs[0], chefs[1]), pots, on_counters, self.floor.name)

    def _places(self, state: OvercookedState) -> list[Cell]:
        """Return where the two begin: each in its part, nobody where all others have to pass."""
        chosen: list[Cell] = []
        for player in state.players:
            part = self.floor.region[player.position]
            cells = [
                cell
                for cell in self.floor.cells
                if self.floor.region[cell] == part and cell not in self.floor.narrow and cell not in chosen
            ]
            chosen.append(self._chance.choice(cells) if cells else player.position)
        return chosen


_ACTION: dict[str, object] = {**MOVES, "stay": (0, 0), "interact": "interact"}
_FACING = {direction: name for name, direction in MOVES.items()}


def _events() -> dict[str, list[bool]]:
    """Return the table in which the package ticks off what happened, which nobody here reads."""
    from overcooked.mdp.overcooked_mdp import EVENT_TYPES

    return {name: [False, False] for name in EVENT_TYPES}


def _pot(at: Cell, soup: object) -> Pot:
    if soup is None:
        return Pot(at, 0, None)
    onions = len(soup._ingredients)  # type: ignore[attr-defined]  # its property copies the list
    tick: int = soup._cooking_tick  # type: ignore[attr-defined]
    return Pot(at, onions, None if tick < 0 else max(0, _COOKING - tick))


_COOKING = 20
_ORDERS = [{"ingredients": ["onion"] * 3}]


@lru_cache(maxsize=32)
def _mdp(layout: str) -> OvercookedGridworld:
    """Return the package's game of a layout. Raises `UserError` without the package or the layout.

    The package keeps recipes in a class, one set for the whole process: a kitchen with others is
    refused before it can change those of the rest.
    """
    if find_spec("overcooked") is None:
        raise missing_extra("overcooked", "bench")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pygame, which the package imports
        from overcooked.mdp.overcooked_mdp import OvercookedGridworld as Game
        from overcooked.utils import read_layout_dict
    try:
        orders = read_layout_dict(layout if layout.isidentifier() else "").get("start_all_orders")
    except OSError:
        raise UserError(f"no layout {layout!r}; there are {', '.join(LAYOUTS)}") from None
    if orders != _ORDERS:
        raise UserError(f"layout {layout!r} has other dishes than onion soup, which are not cooked here")
    return Game.from_layout_name(layout, old_dynamics=True, cook_time=_COOKING)


@lru_cache(maxsize=32)
def floor_of(layout: str) -> Floor:
    """Return a layout's floor. Raises `UserError`."""
    return Floor(layout, ["".join(row) for row in _mdp(layout).terrain_mtx])
