"""Actions over objects, and what they mean in bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agentflow.errors import UserError
from agentflow_bench.robotouille.domain import ActionRule, near
from agentflow_bench.robotouille.effects import Effect, Effects
from agentflow_bench.robotouille.universe import Universe

__all__ = ["Action", "Actions", "Ground"]


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """An action in bits: valid when `mask & care == want`, then `(mask | touch) ^ drop`, then effects.

    `reads` is what the conditions of `effects` ask. `rank` sorts actions as they are listed.
    """

    owner: Universe
    care: int
    want: int
    touch: int
    drop: int
    effects: tuple[Effect, ...]
    reads: int
    rank: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """An action over objects: parameters and their objects in the order of the domain, and its text."""

    name: str
    arguments: tuple[tuple[str, str], ...]
    text: str = field(compare=False)
    ground: Ground = field(compare=False, repr=False)

    @property
    def canonical(self) -> str:
        """The form `stack(i1=cheese1,i2=bread1,p1=robot1,s1=table1)`: parameters by name."""
        return f"{self.name}({','.join(f'{name}={each}' for name, each in sorted(self.arguments))})"

    def __getitem__(self, parameter: str) -> str:
        """Return the object of a parameter."""
        return dict(self.arguments)[parameter]

    def __str__(self) -> str:
        return self.text


class Actions:
    """The actions of one kitchen, each made when it is first thought of."""

    def __init__(self, universe: Universe, effects: Effects) -> None:
        self._universe = universe
        self._effects = effects
        self._known: dict[tuple[int, ...], Action] = {}
        self._rules = {rule.name: (place, rule) for place, rule in enumerate(universe.domain.actions)}

    def ground(self, place: int, objects: Sequence[int]) -> Action:
        """Return the action of rule number `place` over objects, in the order of its parameters."""
        rank = (place, *objects)
        known = self._known.get(rank)
        if known is None:
            known = self._known[rank] = self._made(self._universe.domain.actions[place], objects, rank)
        return known

    def find(self, name: str, objects: Mapping[str, str], count: int) -> Action:
        """Return an action by name and the objects of its parameters, whether it is valid now or not.

        Raises `UserError` for an unknown action, parameter or object, a wrong type, an object named twice.
        """
        if name not in self._rules:
            raise UserError(f"no action `{name}`{near(name, self._rules)}")
        place, rule = self._rules[name]
        names = [parameter for parameter, _ in rule.parameters]
        for parameter in objects:
            if parameter not in names:
                raise UserError(f"`{name}` has no parameter `{parameter}`{near(parameter, names)}")
        numbers: list[int] = []
        for parameter, type_ in rule.parameters:
            if parameter not in objects:
                raise UserError(f"`{name}` needs `{parameter}`, {_a(type_)}")
            number = self._universe.index(objects[parameter], count)
            if self._universe.types[number] != type_:
                found = f"{objects[parameter]} is {_a(self._universe.types[number])}"
                raise UserError(f"`{parameter}` of `{name}` is {_a(type_)}; {found}")
            if number in numbers:
                raise UserError(f"`{name}` needs different objects; {objects[parameter]} is named twice")
            numbers.append(number)
        return self.ground(place, numbers)

    def _made(self, rule: ActionRule, objects: Iterable[int], rank: tuple[int, ...]) -> Action:
        universe = self._universe
        names = [universe.names[number] for number in objects]
        arguments = tuple(zip([parameter for parameter, _ in rule.parameters], names, strict=True))
        binding = dict(arguments)
        effects: tuple[Effect, ...] = ()
        reads = 0
        if rule.special:
            effects = tuple(self._effects.ground(each, binding, rule.name) for each in rule.special)
            for effect in effects:
                reads |= effect.reads
        care, want = universe.asked(rule.preconditions, binding)
        touch, drop = universe.changed(rule.effects, binding)
        ground = Ground(universe, care, want, touch, drop, effects, reads, rank)
        return Action(rule.name, arguments, rule.description.format(**binding), ground)


def _a(type_: str) -> str:
    return f"{'an' if type_[:1] in 'aeiou' else 'a'} {type_}"
