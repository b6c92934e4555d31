"""Steps that run in the place of others that fail: what is wrong with them, and the order that they draw."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

__all__ = ["stand_in_faults", "stand_in_order"]

S = TypeVar("S", bound=Hashable)


def stand_in_faults(pairs: Iterable[tuple[str, str]], joins: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with stand-ins, each with the step that names the wrong one.

    `pairs` are steps, each with the one that is run in its place; `joins` those that take the first
    of several.
    """
    pairs = list(pairs)
    replaced = {name for name, _ in pairs}
    stands_for: dict[str, str] = {}
    for name, other in pairs:
        if other == name:
            yield name, f"`{name}` can't stand in for itself"
        elif other in joins:
            yield name, f"`{other}` can't stand in for `{name}`: it has steps of its own to wait for"
        elif other in replaced:
            yield name, f"`{other}` has a step that stands in for it, so it can't stand in for `{name}`"
        elif other in stands_for:
            yield name, f"`{other}` stands in for `{stands_for[other]}`; write a step for each"
        stands_for.setdefault(other, name)


def stand_in_order(waits: Mapping[S, Sequence[S]], stand_ins: Mapping[S, S]) -> dict[S, list[S]]:
    """Return what each step comes after, where some run in others' places (`stand_ins[failed]`).

    Who waits for a step may have to wait for the one in its place; and that one waits for its end.
    """
    order = {
        step: [*its, *(other for one in its if (other := stand_ins.get(one, step)) != step)]
        for step, its in waits.items()
    }
    for step, other in stand_ins.items():
        order[other].append(step)
    return order
