"""Another kitchen for a task: the task's own objects elsewhere, among others, by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from agentflow.errors import UserError
from agentflow_bench.robotouille.task import Placed, Scene

__all__ = ["TRIES", "generate"]

# A seed that fails is followed by the next one; no seed of the benchmark needs a tenth of these.
TRIES = 1000

_STATIONS = ("board", "stove", "table", "fryer", "sink")
_ITEMS = (
    *("bottombun", "lettuce", "patty", "topbun", "bread"),
    *("cheese", "tomato", "onion", "chicken", "potato"),
)
_PREDICATES = {
    "patty": ("iscookable",),
    "chicken": ("iscookable",),
    "lettuce": ("iscuttable",),
    "onion": ("iscuttable",),
    "tomato": ("iscuttable",),
}
_DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0))
_NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0))


class _Unplaceable(Exception):
    """This seed gives no kitchen."""


def generate(scene: Scene, seed: int) -> tuple[Scene, int]:
    """Return a kitchen and the seed that gave it: `seed`, or the first one after it that gives any.

    Raises `UserError` when many seeds in a row give none: there is too little room.
    """
    for used in range(seed, seed + TRIES):
        try:
            return _Draw(scene, used).kitchen(), used
        except _Unplaceable:
            continue
    size = f"{scene.width} x {scene.height}"
    raise UserError(
        f"seed {seed} cannot be placed, nor the {TRIES - 1} after it: {size} cells are too few for "
        f"{len(scene.stations)} stations, {len(scene.items)} items and {len(scene.containers)} containers"
    )


class _Draw:
    """One kitchen: what is drawn for it, then what is left after placing that."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene = scene
        self._random = random.Random(seed)
        self._stations: list[Placed] = []
        self._items: list[Placed] = []
        self._containers: list[Placed] = []

    def kitchen(self) -> Scene:
        """Draw everything in the order in which the original draws, then place it."""
        scene = self._scene
        extra_stations = self._extra_stations()
        extra_items = self._extra_items(extra_stations)
        stations = [self._moved(each) for each in scene.stations]
        items = [self._moved(each) for each in scene.items]
        containers = [self._moved(each) for each in scene.containers]
        players = [self._turned(self._moved(each)) for each in scene.players]
        if not players:
            raise _Unplaceable
        self._place_stations([*extra_stations, *stations], players[0])
        player = self._place_player(players[0])
        self._place_items([*extra_items, *items], player)
        self._place_containers(containers, player)
        return Scene(
            scene.width,
            scene.height,
            tuple(self._stations),
            tuple(self._items),
            (player,),
            tuple(self._containers),
            scene.meals,
        )

    def _extra_stations(self) -> list[Placed]:
        draw, scene = self._random, self._scene
        count = draw.randrange(0, scene.width * scene.height)
        cells = [(draw.randrange(0, scene.width), draw.randrange(0, scene.height)) for _ in range(count)]
        return [Placed(draw.choice(_STATIONS), x, y) for x, y in cells]

    def _extra_items(self, stations: Sequence[Placed]) -> list[Placed]:
        draw = self._random
        count = draw.randrange(0, len(stations) + 1)
        cells = [(draw.choice(stations).x, draw.choice(stations).y) for _ in range(count)]
        kinds = [draw.choice(_ITEMS) for _ in cells]
        return [
            Placed(kind, x, y, predicates=_PREDICATES.get(kind, ()))
            for kind, (x, y) in zip(kinds, cells, strict=True)
        ]

    def _moved(self, placed: Placed) -> Placed:
        x = self._random.randrange(0, self._scene.width)
        y = self._random.randrange(0, self._scene.height)
        return replace(placed, x=x, y=y, level=0, forced=True)

    def _turned(self, player: Placed) -> Placed:
        return replace(player, direction=self._random.choice(_DIRECTIONS))

    def _place_stations(self, stations: Iterable[Placed], player: Placed) -> None:
        for station in stations:
            at = _index(self._stations, station)
            if not station.forced:
                if at is None and self._reaches((player.x, player.y), [*self._stations, station]):
                    self._stations.append(station)
            elif at is not None and not self._stations[at].forced:
                self._stations[at] = station
            elif at is None and self._reachable([*self._stations, station]):
                self._stations.append(station)
            else:
                loose = [number for number, each in enumerate(self._stations) if not each.forced]
                if not loose:
                    raise _Unplaceable
                number = self._random.choice(loose)
                there = self._stations[number]
                self._stations[number] = replace(station, x=there.x, y=there.y)

    def _place_player(self, player: Placed) -> Placed:
        taken = {(each.x, each.y) for each in self._stations}
        for station in self._stations:
            for dx, dy in _NEIGHBOURS:
                x, y = station.x + dx, station.y + dy
                if self._inside(x, y) and (x, y) not in taken and self._reaches((x, y), self._stations):
                    return replace(player, x=x, y=y, direction=(-dx, -dy))
        raise _Unplaceable

    def _place_items(self, items: Iterable[Placed], player: Placed) -> None:
        places = [(each.x, each.y) for each in (*self._stations, player)]
        for item in items:
            at = _index(self._items, item)
            if (item.x, item.y) in places and at is None:
                self._items.append(item)
            elif item.forced:
                if at is not None and not self._items[at].forced:
                    self._items[at] = item
                else:
                    self._put_elsewhere(item, places)

    def _put_elsewhere(self, item: Placed, places: Iterable[tuple[int, int]]) -> None:
        for x, y in places:
            moved = replace(item, x=x, y=y)
            at = _index(self._items, moved)
            if at is None:
                self._items.append(moved)
                return
            if not self._items[at].forced:
                self._items[at] = moved
                return
        raise _Unplaceable

    def _place_containers(self, containers: Iterable[Placed], player: Placed) -> None:
        places = [(each.x, each.y) for each in (*self._stations, player)]
        for container in containers:
            item, other = _index(self._items, container), _index(self._containers, container)
            if (container.x, container.y) in places and item is None and other is None:
                self._containers.append(container)
                continue
            if item is not None and not self._items[item].forced:
                raise _Unplaceable
            for x, y in places:
                moved = replace(container, x=x, y=y)
                if _index(self._containers, moved) is not None:
                    continue
                item = _index(self._items, moved)
                if item is not None and self._items[item].forced:
                    continue
                if item is not None:
                    del self._items[item]
                self._containers.append(moved)
                break
            else:
                raise _Unplaceable

    def _inside(self, x: int, y: int) -> bool:
        return 0 <= x < self._scene.width and 0 <= y < self._scene.height

    def _reachable(self, stations: Sequence[Placed]) -> bool:
        """Return whether some empty cell reaches all stations."""
        taken = {(each.x, each.y) for each in stations}
        seen: set[tuple[int, int]] = set()
        for x in range(self._scene.width):
            for y in range(self._scene.height):
                if (x, y) not in taken and (x, y) not in seen:
                    walked = self._walked((x, y), taken)
                    if walked >= taken:
                        return True
                    seen |= walked
        return False

    def _reaches(self, start: tuple[int, int], stations: Sequence[Placed]) -> bool:
        """Return whether whoever walks from `start` through empty cells comes to every station."""
        taken = {(each.x, each.y) for each in stations}
        return self._walked(start, taken) >= taken

    def _walked(self, start: tuple[int, int], taken: set[tuple[int, int]]) -> set[tuple[int, int]]:
        """Return the cells that a walk from `start` comes to; it goes on from empty ones only."""
        width, height = self._scene.width, self._scene.height
        seen, todo = {start}, [start]
        while todo:
            cell = todo.pop()
            if cell in taken:
                continue
            x, y = cell
            for next_cell in ((x, y + 1), (x, y - 1), (x + 1, y), (x - 1, y)):
                if next_cell not in seen and 0 <= next_cell[0] < width and 0 <= next_cell[1] < height:
                    seen.add(next_cell)
                    todo.append(next_cell)
        return seen


def _index(objects: Sequence[Placed], placed: Placed) -> int | None:
    """Return where in `objects` the one in the same cell stands."""
    for number, each in enumerate(objects):
        if each.x == placed.x and each.y == placed.y:
            return number
    return None
