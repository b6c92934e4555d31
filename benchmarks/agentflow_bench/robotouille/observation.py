"""What is seen of a kitchen, as text: a block an object, then what can be done, then the goal."""

from __future__ import annotations

from collections import defaultdict

from agentflow_bench.robotouille.instance import Fact
from agentflow_bench.robotouille.universe import Universe

__all__ = ["Blocks"]

# So many texts are kept of one kitchen, then all are forgotten.
_MOST = 16384


class Blocks:
    """The texts of the objects of one kitchen; each is kept by the bits of the facts that name it."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._known: list[dict[int, str]] = []
        self._texts_kept = 0
        self._texts = {each.name: each.texts for each in universe.domain.predicates}
        self._static: dict[str, list[Fact]] = defaultdict(list)
        for fact in sorted(universe.static, key=universe.order):
            for name in fact[1:]:
                self._static[name].append(fact)

    def of(self, mask: int, count: int) -> list[str]:
        """Return the blocks of the first `count` objects."""
        known, about = self._known, self._universe.about
        while len(known) < count:
            known.append({})
        return [
            known[number].get(mask & about[number]) or self._block(number, mask & about[number])
            for number in range(count)
        ]

    def block(self, number: int, mask: int) -> str:
        """Return an object's block anew."""
        universe = self._universe
        name, type_ = universe.names[number], universe.types[number]
        facts = [*self._static[name], *universe.true(mask & universe.about[number])]
        lines = [
            self._texts[fact[0]][fact.index(name, 1) - 1].format(*fact[1:])
            for fact in sorted(facts, key=universe.order)
        ]
        return "\n".join([f"{type_.capitalize()} {name}:", *lines])

    def _block(self, number: int, mask: int) -> str:
        if self._texts_kept >= _MOST:
            self._texts_kept = 0
            for texts in self._known:
                texts.clear()
        self._texts_kept += 1
        text = self._known[number][mask] = self.block(number, mask)
        return text
