"""Book: a tournament's items and verdicts, with a fact of the journal for each.

`match/N` is written when its pair is picked and again when it has ended, `change/N` for whatever else
changes what is known. Each has a place in one order, so that after a crash the same is known again,
to the last bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

import pydantic_core

from agentflow.errors import UserError
from agentflow.runtime.ledger import Ledger, decode, encode
from agentflow.tournament.judging import Mode
from agentflow.tournament.posterior import Posterior, Sharpness
from agentflow.tournament.report import Outcome, Played, Standing
from agentflow.tournament.tournament import Tournament
from agentflow_protocols.chat import Json

__all__ = ["Book", "Entry", "Pick"]

Item = TypeVar("Item")

_LOOSER = 1.0  # variance that a changed goal adds to each quality
_VERDICTS = ("first", "second", "tie")


@dataclass(slots=True)
class Entry(Generic[Item]):
    """An item, where it comes from, and what reviews say of it."""

    id: str
    item: Item
    source: str
    notes: list[str] = field(default_factory=list)
    withdrawn: str | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """A match that was picked.

    `goal` and notes are numbers: of the goal, and how many reviews of each its judge sees. `anew` says
    how often the pair was begun before, `instead` as which match.
    """

    number: int
    first: str
    second: str
    mode: Mode
    goal: int = 0
    first_notes: int = 0
    second_notes: int = 0
    anew: int = 0
    instead: int = 0


class Book(Generic[Item]):
    """What is known: items, goals, matches, and the posterior that follows from them."""

    def __init__(self, said: Tournament[Item], ledger: Ledger) -> None:
        self._said = said
        self._ledger = ledger
        self.goals = [said.goal]
        self.entries: dict[str, Entry[Item]] = {}
        self.posterior: Posterior[str] = Posterior()
        self.sharpness = {"single": Sharpness(), "debate": Sharpness()}
        self.played: list[Played] = []
        self.counts = dict.fromkeys(("judged", "void", "timed out", "failed"), 0)
        self.duplicates = 0
        self.picks = 0
        self._seq = 0
        self._changes = 0

    # What came before a crash.

    def restore(self) -> tuple[list[Pick], list[Pick]]:
        """Read what the journal knows; return the picks that were under way, and those that had failed."""
        events: dict[int, tuple[Pick, Outcome] | Mapping[str, Json]] = {}
        running: list[Pick] = []
        failed: dict[int, Pick] = {}
        while (fact := self._ledger.find(f"match/{self.picks + 1}")) is not None:
            self.picks += 1
            pick = Pick(**cast("dict[str, int]", decode(fact.input)))  # type: ignore[arg-type]
            failed.pop(pick.instead, None)
            if fact.status != "ok":
                running.append(pick)
                continue
            end = cast("dict[str, object]", decode(fact.output))
            outcome = cast("Outcome", end["outcome"])
            events[cast("int", end["seq"])] = (pick, outcome)
            if outcome in ("timed out", "failed"):
                failed[pick.number] = pick
        while (fact := self._ledger.find(f"change/{self._changes + 1}")) is not None:
            self._changes += 1
            change = cast("dict[str, Json]", decode(fact.output))
            events[cast("int", change["seq"])] = change
        for seq in sorted(events):
            self._seq = seq
            event = events[seq]
            if isinstance(event, tuple):
                self._apply_end(*event)
            else:
                self._apply(event)
        return running, list(failed.values())

    # Changes.

    def add(self, item: Item, source: str) -> Entry[Item] | None:
        """Take in an item; None for one that is there already."""
        name = self.id_of(item)
        alike = self._said.similar
        if name in self.entries or (
            alike is not None and any(alike(each.item, item) for each in self.entries.values())
        ):
            if source != "given":
                self._change({"duplicate": name, "source": source})
            return None
        self._change({"item": name, "value": self._plain(item), "source": source})
        self.entries[name].item = item
        return self.entries[name]

    def withdraw(self, name: str, why: str) -> None:
        """Take an item out."""
        self._change({"withdraw": self.entry(name).id, "why": why})

    def note(self, name: str, text: str) -> None:
        """Keep a review of an item."""
        self._change({"review": self.entry(name).id, "text": text})

    def set_goal(self, goal: str) -> None:
        """Change the goal for all matches that are picked from now on."""
        self._change({"goal": goal})

    def entry(self, name: str) -> Entry[Item]:
        """Return the item of an id. Raises `UserError`."""
        found = self.entries.get(name)
        if found is None:
            raise UserError(f"{self._said.name}: no item has the id {name[:60]!r}")
        return found

    def begin(self, pick: Pick) -> None:
        """Put a pick down."""
        self.picks = pick.number
        self._ledger.put(f"match/{pick.number}", None, input=self._input(pick), status="running")

    def end(self, pick: Pick, outcome: Outcome) -> None:
        """Put down what came of a match, and learn from it: the two are one."""
        self._seq += 1
        output = encode({"outcome": outcome, "seq": self._seq}, "a match's outcome")
        self._ledger.put(f"match/{pick.number}", output, input=self._input(pick))
        self._apply_end(pick, outcome)

    def _input(self, pick: Pick) -> bytes:
        return encode(pick, "a match") if self._ledger.durable else b""

    def _change(self, change: dict[str, Json]) -> None:
        self._seq += 1
        self._changes += 1
        change["seq"] = self._seq
        self._ledger.put(f"change/{self._changes}", encode(change, "a change of a tournament"))
        self._apply(change)

    def _apply(self, change: Mapping[str, Json]) -> None:
        if "item" in change:
            name = str(change["item"])
            item = cast("Item", decode(json.dumps(change["value"]).encode(), self._said.item_type))
            self.entries[name] = Entry(name, item, str(change["source"]))
            self.posterior.add(name)
        elif "duplicate" in change:
            self.duplicates += 1
        elif "withdraw" in change:
            self.entries[str(change["withdraw"])].withdrawn = str(change["why"])
            self.posterior.withdraw(str(change["withdraw"]))
        elif "review" in change:
            self.entries[str(change["review"])].notes.append(str(change["text"]))
        else:
            self.goals.append(str(change["goal"]))
            self.posterior.loosen(_LOOSER)

    def _apply_end(self, pick: Pick, outcome: Outcome) -> None:
        self.played.append(Played(pick.number, pick.first, pick.second, pick.mode, outcome))
        if outcome not in _VERDICTS:
            self.counts[outcome] += 1
            return
        self.counts["judged"] += 1
        mean, variance = self.posterior.advantage(pick.first, pick.second)
        # A single look is the unit of quality; how sharp a debate is, is learned against it.
        sharpness = 1.0 if pick.mode == "single" else self.sharpness["debate"].mean
        if outcome == "tie":
            self.posterior.take_tie(pick.first, pick.second, sharpness=sharpness)
            return
        won = outcome == "first"
        self.sharpness[pick.mode].learn(mean if won else -mean, variance)
        self.posterior.take(pick.first, pick.second, first_won=won, sharpness=sharpness)

    # What is known.

    def id_of(self, item: Item) -> str:
        """Return an item's id."""
        if self._said.id is not None:
            return self._said.id(item)
        text = json.dumps(self._plain(item), sort_keys=True, ensure_ascii=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def _plain(self, item: Item) -> Json:
        try:
            return cast("Json", pydantic_core.to_jsonable_python(item))
        except pydantic_core.PydanticSerializationError as error:
            raise UserError(f"{self._said.name}: an item has no JSON form: {error}") from None

    def standing(self, entry: Entry[Item]) -> Standing[Item]:
        """Return where an item stands."""
        known = self.posterior.quality(entry.id)
        low, high = known.interval()
        return Standing(
            entry.id,
            entry.item,
            known.mean,
            low,
            high,
            known.matches,
            entry.source,
            tuple(entry.notes),
            entry.withdrawn,
        )

    def ranking(self) -> list[Standing[Item]]:
        """Return the items that play, best first."""
        return [self.standing(self.entries[name]) for name in self.posterior.ranking()]
