"""What goes on after an action: grounded effects, how far they are, and the list of those that run.

The rules are few (a delayed effect, a repetitive one, a condition, a creation), yet their order matters,
and a list is walked over at every step. So lists are interned, and each knows what a step does to it by
the few facts that its conditions read: most steps look that up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentflow.errors import UserError
from agentflow_bench.robotouille.domain import DELAY, REPEATS, EffectKind, EffectRule
from agentflow_bench.robotouille.universe import Universe

__all__ = ["Effect", "Effects", "Move", "Progress", "Row"]

_MOST_ROWS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """An effect over objects, one object for all that are equal: as the original compares them.

    `touch, drop` set its facts, `care, want` are its conditions, `reads` all that is asked in it.
    """

    kind: EffectKind
    action: str
    argument: str
    station: str | None
    touch: int
    drop: int
    care: int
    want: int
    nested: tuple[Effect, ...]
    reads: int
    size: int
    rule: EffectRule
    binding: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How far an effect is: a count for it and each nested one, in order. One object a value."""

    effect: Effect
    counts: tuple[int, ...]
    done: bool

    @property
    def ticks(self) -> int:
        """How often the part that counts has counted."""
        at = _counting(self.effect)
        return 0 if at is None else self.counts[at]

    @property
    def needed(self) -> int:
        """How often it has to count before something comes of it; 0 when it does not count."""
        at = _counting(self.effect)
        return 0 if at is None else DELAY if _at(self.effect, at).kind == "delayed" else REPEATS


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """What one step does: `(mask | touch) ^ drop`, the list after it, and how many objects were made."""

    touch: int
    drop: int
    row: Row
    made: int = 0


@dataclass(slots=True, eq=False)
class Row:
    """A list of running effects. `ticks` and `starts` keep what was found out, by the facts that are read."""

    running: tuple[Progress, ...]
    reads: int
    ticks: dict[int, Move] = field(default_factory=dict)
    starts: dict[tuple[tuple[Effect, ...], int], Move] = field(default_factory=dict)


class _Walk:
    """Facts while a list is walked over, and what was written to them."""

    def __init__(self, mask: int, objects: int) -> None:
        self.mask, self.objects, self.made = mask, objects, 0
        self.touch = self.drop = 0

    def write(self, touch: int, drop: int) -> None:
        self.mask = (self.mask | touch) ^ drop
        self.drop = (self.drop | touch) ^ touch | drop
        self.touch |= touch


class Effects:
    """The effects of one kitchen, and what a step does to a list of them."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._effects: dict[tuple[object, ...], Effect] = {}
        self._progress: dict[tuple[Effect, tuple[int, ...]], Progress] = {}
        self._rows: dict[tuple[Progress, ...], Row] = {}
        self.none = self.row(())

    def ground(self, rule: EffectRule, binding: Mapping[str, str], action: str) -> Effect:
        """Return the effect of a rule over objects."""
        nested = tuple(self.ground(each, binding, action) for each in rule.nested)

        argument = binding[rule.parameter]
        named = tuple(
            (literal.predicate, tuple(binding.get(each, each) for each in literal.parameters), literal.value)
            for literal in (*rule.effects, *rule.conditions)
        )
        key = (rule.kind, rule.parameter, argument, len(rule.effects), named, nested, rule.creates)
        known = self._effects.get(key)
        if known is not None:
            return known
        care, want = self._universe.asked(rule.conditions, binding)
        touch, drop = (0, 0) if rule.creates else self._universe.changed(rule.effects, binding)
        reads, size = care, 1
        for each in nested:
            reads, size = reads | each.reads, size + each.size
        named_first = (binding[name] for each in rule.conditions for name in each.parameters)
        made = Effect(
            rule.kind,
            action,
            argument,
            next((name for name in named_first if self._is_station(name)), None),
            touch,
            drop,
            care,
            want,
            nested,
            reads,
            size,
            rule,
            dict(binding),
        )
        self._effects[key] = made
        return made

    def _is_station(self, name: str) -> bool:
        return self._universe.types[self._universe.number[name]] == "station"

    def row(self, running: tuple[Progress, ...]) -> Row:
        """Return the list of these effects."""
        row = self._rows.get(running)
        if row is None:
            reads = 0
            for each in running:
                reads |= each.effect.reads
            if len(self._rows) >= _MOST_ROWS:
                self._rows.clear()
            row = self._rows[running] = Row(running, reads)
        return row

    def move(self, row: Row, started: tuple[Effect, ...], reads: int, mask: int, objects: int) -> Move:
        """Return what a step does to a list, by the rules, and remember it.

        `started` are the effects of the step's action, which ask for `reads`; `mask` is what is true
        after what the action does at once, `objects` how many objects there are.
        """
        walk = _Walk(mask, objects)
        running = list(row.running)
        for effect in started:
            at = next((number for number, each in enumerate(running) if each.effect is effect), len(running))
            if at == len(running):
                running.append(self._state(effect, (0,) * effect.size))
            running[at] = self._updated(running[at], walk, active=True)
        number = 0
        while number < len(running):
            running[number] = self._updated(running[number], walk, active=False)
            if running[number].done:
                del running[number]  # the next one takes its place, and misses this step
            number += 1
        found = Move(walk.touch, walk.drop, self.row(tuple(running)), walk.made)
        if not walk.made:
            if started:
                row.starts[started, mask & (row.reads | reads)] = found
            else:
                row.ticks[mask & row.reads] = found
        return found

    def _state(self, effect: Effect, counts: tuple[int, ...]) -> Progress:
        known = self._progress.get((effect, counts))
        if known is None:
            known = Progress(effect, counts, _done(effect, counts[0]))
            self._progress[effect, counts] = known
        return known

    def _updated(self, progress: Progress, walk: _Walk, active: bool) -> Progress:
        counts = list(progress.counts)
        self._update(progress.effect, counts, 0, walk, active)
        return self._state(progress.effect, tuple(counts))

    def _update(self, effect: Effect, counts: list[int], at: int, walk: _Walk, active: bool) -> None:
        if _done(effect, counts[at]):
            return
        match effect.kind:
            case "delayed":
                if active:
                    return
                counts[at] += 1
                if counts[at] == DELAY:
                    walk.write(effect.touch, effect.drop)
                    self._update_nested(effect, counts, at, walk, active=False)
            case "repetitive":
                if not active:
                    return
                counts[at] += 1
                if counts[at] == REPEATS:
                    walk.write(effect.touch, effect.drop)
                    self._update_nested(effect, counts, at, walk, active)
            case "conditional":
                if walk.mask & effect.care != effect.want:
                    walk.write(effect.touch, effect.touch ^ effect.drop)
                    return
                walk.write(effect.touch, effect.drop)
                counts[at] = int(self._update_nested(effect, counts, at, walk, active))
            case "creation":
                self._create(effect, walk)
                counts[at] = 1

    def _update_nested(self, effect: Effect, counts: list[int], at: int, walk: _Walk, active: bool) -> bool:
        """Update what is nested in an effect; return whether all of it is done."""
        at, done = at + 1, True
        for nested in effect.nested:
            self._update(nested, counts, at, walk, active)
            done = done and _done(nested, counts[at])
            at += nested.size
        return done

    def _create(self, effect: Effect, walk: _Walk) -> None:
        creates = effect.rule.creates
        if creates is None:
            raise UserError(f"an effect of `{effect.action}` makes nothing")
        self._universe.require(walk.objects + 1)
        binding = {**effect.binding, creates.parameter: self._universe.names[walk.objects]}
        walk.write(*self._universe.changed(effect.rule.effects, binding))
        walk.objects += 1
        walk.made += 1


def _done(effect: Effect, count: int) -> bool:
    return count >= (DELAY if effect.kind == "delayed" else REPEATS if effect.kind == "repetitive" else 1)


def _counting(effect: Effect) -> int | None:
    """Return the place of the first effect in a tree that counts."""
    return next((at for at in range(effect.size) if _at(effect, at).kind in ("delayed", "repetitive")), None)


def _at(effect: Effect, place: int) -> Effect:
    if place == 0:
        return effect
    place -= 1
    for nested in effect.nested:
        if place < nested.size:
            return _at(nested, place)
        place -= nested.size
    raise IndexError(place)
