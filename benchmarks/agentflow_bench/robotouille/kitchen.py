"""Kitchen: the simulator. It is an `agentflow.environment.Environment` of texts and actions.

```python
from agentflow_bench.robotouille.instance import make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.task import Task

kitchen = Kitchen(make_instance(Task.builtin("synchronous", "0")))
kitchen.act(kitchen.action("pick-up-item", p1="robot1", i1="bread1", s1="table1"))
assert kitchen.holds("has_item", "robot1", "bread1")
assert [action.text for action in kitchen.valid_actions()][-2:] == [
    "Place bread1 on table1 using robot1",
    "Do nothing",
]
```
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agentflow.environment import InvalidAction
from agentflow.errors import UserError
from agentflow_bench.robotouille.action import Action, Actions
from agentflow_bench.robotouille.choices import Choice, Choices
from agentflow_bench.robotouille.effects import Effects, Progress, Row
from agentflow_bench.robotouille.goal import GoalCheck
from agentflow_bench.robotouille.instance import Fact, Instance, make_instance
from agentflow_bench.robotouille.observation import Blocks
from agentflow_bench.robotouille.universe import Universe

__all__ = ["Kitchen", "Running", "State"]


@dataclass(frozen=True, slots=True)
class Running:
    """An effect that goes on: of which action, about what, where it must stay, how far it is.

    `kind` is `conditional`, `repetitive`, …; `needed` is 0 for one that never comes to an end by
    counting. `paused`: its condition does not hold now.
    """

    action: str
    kind: str
    object: str
    station: str | None
    ticks: int
    needed: int
    paused: bool


@dataclass(frozen=True, slots=True)
class State:
    """All that changes in a kitchen. Two states are equal when the same can follow from them."""

    mask: int
    running: tuple[Progress, ...]
    objects: int
    player: int
    done: bool
    steps: int = field(compare=False)
    universe: Universe = field(compare=False, repr=False)


class Kitchen:
    """One episode in a kitchen. `steps` counts the actions done."""

    def __init__(self, instance: Instance) -> None:
        self._begin(instance)

    def _begin(self, instance: Instance) -> None:
        self.instance = instance
        self._universe = universe = Universe(instance)
        self._goal = GoalCheck(instance, universe)
        self._effects = Effects(universe)
        self._actions = Actions(universe, self._effects)
        self._blocks = Blocks(universe)
        self._choices: dict[int, Choices] = {}
        self._players = [universe.names[each] for each in universe.of_type("player", universe.first)]
        self._first = State(universe.initial, (), universe.first, 0, False, 0, universe)
        self.restore(self._first)

    def twin(self) -> Kitchen:
        """Return another kitchen of the same instance, in the same state.

        Both go on by themselves, yet share what was worked out about it: a twin is made at once, costs no
        memory of its own, and takes the snapshots of the other. It is what a plan is tried out in.
        """
        twin = object.__new__(Kitchen)
        twin.__dict__.update(self.__dict__)
        return twin

    # What an environment does.

    def reset(self, seed: int | None = None) -> str:
        """Begin anew and return the first text: in the same kitchen, or in that of another seed."""
        if seed is None or seed == self.instance.seed:
            self.restore(self._first)
        else:
            self._begin(make_instance(self.instance.task, seed, self.instance.domain))
        return self.observe()

    def observe(self) -> str:
        """Return what is seen: a block for each object, the valid actions, the goal."""
        blocks = self._blocks.of(self._mask, self._objects)
        blocks.append(f"Valid Actions:\n{self.choice().lines}")
        blocks.append(f"Goal: {self.instance.task.goal_text}")
        return "\n\n".join(blocks)

    def valid_actions(self) -> tuple[Action, ...]:
        """Return what can be done now, by all players, in the order of the text."""
        return self.choice().actions

    def act(self, action: Action) -> str:
        """Do an action and return what is seen then. Raises `InvalidAction`, which changes nothing."""
        self.step(action)
        return self.observe()

    @property
    def done(self) -> bool:
        """Whether the goal was reached."""
        return self._done

    def snapshot(self) -> State:
        """Return the state as a value."""
        return State(
            self._mask, self._row.running, self._objects, self.player, self._done, self.steps, self._universe
        )

    def restore(self, snapshot: State) -> None:
        """Go back to a state of this kitchen. Raises `UserError` for one of another."""
        if snapshot.universe is not self._universe:
            raise UserError(f"the snapshot is not of this kitchen ({self.instance.name})")
        self._mask, self._objects = snapshot.mask, snapshot.objects
        self._row: Row = self._effects.row(snapshot.running)
        self.player, self._done, self.steps = snapshot.player, snapshot.done, snapshot.steps
        self._choice: Choice | None = None
        self._aimed = -1

    # The simulator.

    def step(self, action: Action) -> bool:
        """Do an action and return whether the goal is reached; no text is made. Raises as `act` does."""
        ground = action.ground
        if ground.owner is not self._universe:
            ground = self.action(action.name, **dict(action.arguments)).ground
        mask = self._mask
        if mask & ground.care != ground.want or self._done:
            raise self._refusal(action)
        mask = (mask | ground.touch) ^ ground.drop
        row = self._row
        if ground.effects:
            move = row.starts.get((ground.effects, mask & (row.reads | ground.reads)))
        elif row.running:
            move = row.ticks.get(mask & row.reads)
        else:
            move = None
        if ground.effects or row.running:
            if move is None:
                move = self._effects.move(row, ground.effects, ground.reads, mask, self._objects)
                self._objects += move.made
            mask = (mask | move.touch) ^ move.drop
            self._row = move.row
        self._mask = mask
        self._choice = None
        self.steps += 1
        aimed = mask & self._goal.care
        if aimed != self._aimed:
            self._aimed = aimed
            if self._goal.reached(mask):
                self._done = True
                return True
        self.player = (self.player + 1) % len(self._players)
        return False

    def choice(self) -> Choice:
        """Return the valid actions and their texts."""
        choice = self._choice
        if choice is None:
            choices = self._choices.get(self._objects)
            if choices is None:
                choices = self._choices[self._objects] = Choices(self._universe, self._actions, self._objects)
            choice = self._choice = choices.of(self._mask)
        return choice

    def is_valid(self, action: Action) -> bool:
        """Return whether an action can be done now."""
        if action.ground.owner is not self._universe:
            action = self.action(action.name, **dict(action.arguments))
        return not self._done and self._mask & action.ground.care == action.ground.want

    def action(self, name: str, /, **objects: str) -> Action:
        """Return an action by name and the objects of its parameters, valid now or not.

        Raises `UserError` that names what there is no such action, parameter or object of.
        """
        return self._actions.find(name, objects, self._objects)

    def by_text(self, text: str) -> list[Action]:
        """Return the valid actions that have exactly this text."""
        return list(self.choice().by_text(text))

    # What is true.

    def holds(self, predicate: str, *objects: str) -> bool:
        """Return whether a fact is true."""
        fact = (predicate, *objects)
        bit = self._universe.bits.get(fact)
        return fact in self._universe.static if bit is None else bool(self._mask & bit)

    def true(self, predicate: str) -> list[tuple[str, ...]]:
        """Return the objects of all true facts of a predicate, in canonical order."""
        return [fact[1:] for fact in self._true() if fact[0] == predicate]

    def facts(self) -> list[Fact]:
        """Return all true facts, sorted as texts."""
        return sorted(self._true())

    def changes(self, since: State) -> tuple[list[Fact], list[Fact]]:
        """Return what has become true and what false since a snapshot, each sorted as texts."""
        new, old = self._mask & ~since.mask, since.mask & ~self._mask
        return sorted(self._universe.true(new)), sorted(self._universe.true(old))

    def set_fact(self, predicate: str, *objects: str, value: bool) -> None:
        """Make a fact true or false by decree, as a mishap does. Raises `UserError` where it can't change."""
        bit = self._universe.bits.get((predicate, *objects))
        if bit is None:
            raise UserError(f"`{predicate}({','.join(objects)})` is no fact that can change")
        self._mask = self._mask | bit if value else self._mask & ~bit
        self._choice = None
        self._aimed = -1

    @property
    def objects(self) -> list[tuple[str, str]]:
        """Names and types of all objects, in order."""
        return [(self._universe.names[each], self._universe.types[each]) for each in range(self._objects)]

    @property
    def players(self) -> list[str]:
        """The players, in order of their turns; `player` is the index of who is next."""
        return list(self._players)

    @property
    def effects(self) -> list[Running]:
        """The effects that go on, in order."""
        return [
            Running(
                each.effect.action,
                each.effect.kind,
                each.effect.argument,
                each.effect.station,
                each.ticks,
                each.needed,
                self._mask & each.effect.care != each.effect.want,
            )
            for each in self._row.running
        ]

    @property
    def n_effects(self) -> int:
        """How many effects go on."""
        return len(self._row.running)

    def _true(self) -> list[Fact]:
        facts = [*self._universe.static, *self._universe.true(self._mask)]
        return sorted(facts, key=self._universe.order)

    def _refusal(self, action: Action) -> InvalidAction:
        if self._done:
            return InvalidAction(f"`{action}` comes too late: the goal is reached")
        return InvalidAction(f"`{action}` is not valid now")
