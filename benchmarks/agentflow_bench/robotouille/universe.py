"""The objects of one kitchen, those to come included, and a bit for every fact that can change.

What is true is one whole number: a bit a fact. Facts that no action and no effect can change (that
`table1` is a table) have no bit. Bits of objects that are made later are added when one is first spoken of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from agentflow.errors import UserError
from agentflow_bench.robotouille.domain import Creation, Domain, EffectRule, Literal, near
from agentflow_bench.robotouille.instance import Fact, Instance

__all__ = ["Universe", "bits_of"]


class Universe:
    """Names, types and bits. It only grows, and the same kitchens grow alike.

    `about[i]` has the bits of all facts that name object `i`.
    """

    def __init__(self, instance: Instance) -> None:
        self.domain: Domain = instance.domain
        self.names: list[str] = []
        self.types: list[str] = []
        self.number: dict[str, int] = {}
        self.bits: dict[Fact, int] = {}
        self.facts: list[Fact] = []
        self.about: list[int] = []
        self._places = {each.name: place for place, each in enumerate(self.domain.predicates)}
        self.changing, self.creation = _changing(self.domain)
        self.static = frozenset(fact for fact in instance.facts if fact[0] not in self.changing)
        for name, type_ in instance.objects:
            self._add_object(name, type_)
        self.first = len(self.names)
        self._add_bits(())
        self.initial = sum(self.bits[fact] for fact in instance.facts - self.static)

    def require(self, count: int) -> None:
        """See to it that the first `count` objects have bits."""
        while len(self.names) < count:
            if self.creation is None:
                raise UserError("nothing in this domain makes objects")
            kind = self.creation.kind
            numbers = [name.removeprefix(kind) for name in self.names if name.startswith(kind)]
            largest = max((int(each) for each in numbers if each.isdigit()), default=0)
            self._add_object(f"{kind}{largest + 1}", self.creation.type)
            self._add_bits((len(self.names) - 1,))

    def expect(self, name: str) -> None:
        """Give bits to an object that may be made later, and to those made before it; else do nothing."""
        kind = self.creation.kind if self.creation else ""
        number = name.removeprefix(kind)
        if kind and name.startswith(kind) and number.isdigit() and int(number) <= 1000:
            while name not in self.number:
                before = len(self.names)
                self.require(before + 1)
                if int(self.names[before].removeprefix(kind)) >= int(number):
                    return

    def of_type(self, type_: str, count: int) -> list[int]:
        """Return which of the first `count` objects have a type."""
        return [each for each in range(count) if self.types[each] == type_]

    def index(self, name: str, count: int) -> int:
        """Return the number of an object among the first `count`. Raises `UserError` for an unknown name."""
        number = self.number.get(name, count)
        if number >= count:
            raise UserError(f"no object `{name}`{near(name, self.names[:count])}")
        return number

    def true(self, mask: int) -> Iterator[Fact]:
        """Yield the facts of `mask`, without those that can't change, in the order of their bits."""
        for position in bits_of(mask):
            yield self.facts[position]

    def order(self, fact: Fact) -> tuple[int, ...]:
        """Return what sorts facts in canonical order: by predicate, then by objects."""
        return (self._places[fact[0]], *(self.number[name] for name in fact[1:]))

    def asked(self, literals: Iterable[Literal], binding: Mapping[str, str]) -> tuple[int, int]:
        """Return `care, want`: the literals hold in a mask when `mask & care == want`.

        Where one of them never holds, that is `0, -1`.
        """
        care = want = 0
        for literal in literals:
            fact = (literal.predicate, *[binding[name] for name in literal.parameters])
            bit = self.bits.get(fact)
            if bit is None:
                if (fact in self.static) != literal.value:
                    return 0, -1
                continue
            if care & bit and bool(want & bit) != literal.value:
                return 0, -1
            care |= bit
            want |= bit if literal.value else 0
        return care, want

    def changed(self, literals: Iterable[Literal], binding: Mapping[str, str]) -> tuple[int, int]:
        """Return `touch, drop`: the literals are set by `(mask | touch) ^ drop`."""
        touch = drop = 0
        for literal in literals:
            bit = self.bits[(literal.predicate, *[binding[name] for name in literal.parameters])]
            touch |= bit
            drop = drop & ~bit if literal.value else drop | bit
        return touch, drop

    def _add_object(self, name: str, type_: str) -> None:
        self.number[name] = len(self.names)
        self.names.append(name)
        self.types.append(type_)
        self.about.append(0)

    def _add_bits(self, new: Sequence[int]) -> None:
        """Add bits, in canonical order, for facts that name one of `new`; without any, for all facts."""
        for predicate in self.domain.predicates:
            if predicate.name not in self.changing:
                continue
            for objects in product(*(self.of_type(type_, len(self.names)) for type_ in predicate.types)):
                if len({*objects}) < len(objects) or (new and not {*new} & {*objects}):
                    continue
                fact = (predicate.name, *(self.names[each] for each in objects))
                bit = 1 << len(self.facts)
                self.bits[fact] = bit
                self.facts.append(fact)
                for each in objects:
                    self.about[each] |= bit


def _changing(domain: Domain) -> tuple[frozenset[str], Creation | None]:
    """Return the predicates that something sets, and the kind of object that is made, if one is."""
    names: set[str] = set()
    kinds: dict[str, Creation] = {}

    def read(rule: EffectRule) -> None:
        names.update(literal.predicate for literal in rule.effects)
        if rule.creates is not None:
            kinds.setdefault(rule.creates.kind, rule.creates)
        for nested in rule.nested:
            read(nested)

    for action in domain.actions:
        names.update(literal.predicate for literal in action.effects)
        for special in action.special:
            read(special)
    if len(kinds) > 1:
        raise UserError(f"the domain makes {' and '.join(sorted(kinds))}; it can make one kind of object")
    return frozenset(names), next(iter(kinds.values()), None)


def bits_of(mask: int) -> Iterator[int]:
    """Yield the positions of the bits of `mask`, from below."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
