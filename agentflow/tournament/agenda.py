"""Agenda: what is due, and what of it comes next.

Gates come first: studies without which nothing may begin, then looks without which an item may not play.
All else is drawn by the supervisor's weights. A decision has the number of what it begins, and its own
source of chance by that, so that it is the same after a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from agentflow.errors import UserError
from agentflow.tournament.agents import Look, Make, Study
from agentflow.tournament.book import Book
from agentflow.tournament.entry import Tally
from agentflow.tournament.pairing import Pairs, ladder, swiss
from agentflow.tournament.report import Note, Standing
from agentflow.tournament.supervisor import Statistics, Work, WorkKind
from agentflow.tournament.tournament import Tournament

if TYPE_CHECKING:
    import numpy

__all__ = ["Agenda", "Choice"]

Item = TypeVar("Item")

BARREN = 3  # a maker that has made nothing new so often in a row is asked no more
TRIES = 2  # how often one item is looked at by an agent that fails at it
_MATCHES_EACH = 15
_DRAWS_PICK, _DRAWS_NEXT = 0, 2  # streams of chance


@dataclass(frozen=True, slots=True)
class Choice:
    """What comes next: an agent, `about` an item for a look; or `match`, with the pair as it is shown."""

    agent: str
    about: str = ""
    pair: tuple[str, str] = ("", "")


class Agenda(Generic[Item]):
    """Says what is due in a tournament, by what its book knows."""

    def __init__(self, said: Tournament[Item], book: Book[Item], pairs: Pairs) -> None:
        self._said = said
        self._book = book
        self._pairs = pairs
        self._near = None if said.near is None else self._alike

    def next(self, waiting: int) -> Choice | None:
        """Return what is to begin now, None when nothing is. `waiting` matches are to be played anew."""
        held, gate = self._gate()
        if held:
            return gate
        if (look := self._gated_look()) is not None:
            return look
        due = self._due()
        if self.sure():
            due.pop("match", None)
            due = due if self.growing() else self._unread(due)
        elif self.left() <= waiting and self._book.posterior.playing >= 2:
            # As many matches as there may be for these items; without `max_matches` there are more for more.
            makes = self._said.makes if self._said.max_matches is None else ()
            due = {name: [] for name in makes if name in due} | self._unread(due)
        return self._drawn(due) if due else None

    def left(self) -> int:
        """Return how many matches may still begin."""
        most = self._said.max_matches
        if most is None:
            most = _MATCHES_EACH * self._book.posterior.playing
        counts = self._book.counts
        return most - counts["judged"] - counts["void"] - self._book.tallies["match"].under_way

    def chance(self, stream: int, number: int) -> numpy.random.Generator:
        """Return the source of chance of a decision."""
        import numpy as np

        return np.random.default_rng([self._said.seed, stream, number])

    # Gates.

    def _gate(self) -> tuple[bool, Choice | None]:
        """Return whether a study holds all else up, and that study, if it is to begin."""
        for name, study in self._said.studies.items():
            if study.gate and self._study_due(name, study):
                tally = self._book.tallies[name]
                return True, None if tally.under_way else Choice(name)
        return False, None

    def _study_due(self, name: str, study: Study[Item]) -> bool:
        tally = self._book.tallies[name]
        if study.on_goal and tally.goal < len(self._book.goals) - 1:
            return True
        return study.every > 0 and self._book.counts["judged"] >= tally.last + study.every

    def _gated_look(self) -> Choice | None:
        if not self._said.gates:
            return None
        for entry in self._book.entries.values():
            if entry.cleared or entry.withdrawn is not None:
                continue
            by = {note.by for note in entry.notes}
            name = next(gate for gate in self._said.gates if gate not in by)
            if entry.id not in self._book.tallies[name].looking:
                return Choice(name, entry.id)
        return None

    # What may be drawn.

    def _due(self) -> dict[str, list[str]]:
        """Return who has work, each with the ids of the items to be looked at."""
        due: dict[str, list[str]] = {}
        playing = self._book.posterior.playing
        if playing >= 2:
            due["match"] = []
        for name in self.makers():
            make = self._said.makes[name]
            tally = self._book.tallies[name]
            free = tally.under_way < make.at_once and self.room() > 0
            if playing >= make.needs and free and not self._resting(tally):
                due[name] = []
        due |= self._looks_due()
        for name, study in self._said.studies.items():
            if self._study_due(name, study) and not self._book.tallies[name].under_way:
                due[name] = []
        return due

    def _looks_due(self) -> dict[str, list[str]]:
        looks = [(name, look, self._book.tallies[name]) for name, look in self._said.looks.items()]
        found: dict[str, list[str]] = {name: [] for name, _, _ in looks}
        for standing in self._book.ranking() if looks else ():
            last = {note.by: note for note in standing.notes}
            for name, look, tally in looks:
                if self._look_due(look, tally, standing, last.get(name)):
                    found[name].append(standing.id)
        return {name: ids for name, ids in found.items() if ids}

    def _unread(self, due: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Return the looks that are due at one of the best k for the first time: what is not left undone."""
        entries = self._book.entries
        best = self._book.posterior.ranking()[: self._said.k]
        found: dict[str, list[str]] = {}
        for name in self._said.looks:
            new = [
                each for each in due.get(name, ()) if name not in {note.by for note in entries[each].notes}
            ]
            if ids := [each for each in new if each in best]:
                found[name] = ids
        return found

    def _resting(self, tally: Tally) -> bool:
        """Return whether a maker of nothing new waits for the board to change: a verdict for each item.

        Once the ranking is sure, there is nothing to wait for.
        """
        playing = self._book.posterior.playing
        return (
            tally.barren > 0
            and not self.sure()
            and playing >= 2
            and self._book.counts["judged"] < tally.last + playing
        )

    def makers(self) -> list[str]:
        """Return the makers that are still asked."""
        return [name for name in self._said.makes if self._book.tallies[name].barren < BARREN]

    def room(self) -> int:
        """Return how many items may still be made."""
        making = sum(self._book.tallies[name].under_way for name in self._said.makes)
        return self._said.most_items - len(self._book.entries) - making

    def _look_due(self, look: Look[Item], tally: Tally, standing: Standing[Item], note: Note | None) -> bool:
        if standing.id in tally.looking or tally.failed_at.get(standing.id, 0) >= TRIES:
            return False
        fresh = note is not None and note.goal == len(self._book.goals) - 1
        if note is not None and fresh and (not look.again or standing.matches < note.matches + look.again):
            return False
        return look.due is None or look.due(standing)

    def _drawn(self, due: dict[str, list[str]]) -> Choice | None:
        if list(due) == ["match"]:
            return self._pair()
        number = self._book.picks + self._book.tasks + 1
        chance = self.chance(_DRAWS_NEXT, number)
        weights = self._said.supervisor.weigh(self.statistics(due), chance)
        self._check(weights)
        while due:
            names = list(due)
            shares = [weights.get(name, 0.0) for name in names]
            at = float(chance.random()) * sum(shares)
            drawn = ""
            for name, share in zip(names, shares, strict=True):
                at -= share
                if at < 0:
                    drawn = name
                    break
            if not drawn:
                return None
            if drawn != "match":
                return Choice(drawn, due[drawn][0] if due[drawn] else "")
            if (pair := self._pair()) is not None:
                return pair
            del due["match"]
        return None

    def _check(self, weights: Mapping[str, float]) -> None:
        for name, weight in weights.items():
            if not 0 <= weight < float("inf"):
                raise UserError(
                    f"{self._said.name}: the supervisor's weight of {name} is {weight}: give 0 or more"
                )

    def _pair(self) -> Choice | None:
        chance = self.chance(_DRAWS_PICK, self._book.picks + 1)
        if self._said.objective == "top_k":
            pair = ladder(self._book.posterior, self._said.k, chance, self._pairs, self._near)
        else:
            pair = swiss(self._book.posterior, chance, self._pairs)
        return None if pair is None else Choice("match", pair=pair)

    def _alike(self, one: str, other: str) -> float:
        entries, near = self._book.entries, self._said.near
        return 0.0 if near is None else near(entries[one].item, entries[other].item)

    # How it goes.

    def sure(self) -> bool:
        """Return whether the ranking is as sure as it has to be: then no more matches begin."""
        stop = self._said.stop
        return stop is not None and self._book.counts["judged"] > 0 and self._book.settled >= stop

    def ended(self) -> bool:
        """Return whether it is sure enough, and nothing is left to be done."""
        if not self.sure() or self.growing() or self._unread(self._due()):
            return False
        return not any(self._book.tallies[name].under_way for name in self._said.looks)

    def growing(self) -> bool:
        """Return whether items are still being made, or will be."""
        made = any(self._book.tallies[name].under_way for name in self._said.makes)
        held = any(not each.cleared and each.withdrawn is None for each in self._book.entries.values())
        return made or held or (self.room() > 0 and bool(self.makers()))

    def work(self, due: Mapping[str, list[str]]) -> dict[str, Work]:
        """Return what each agent has done, and what waits for it."""
        known = {name: place for place, name in enumerate(self._book.posterior.playing_items)}
        qualities = self._book.posterior.qualities()
        work: dict[str, Work] = {}
        for name, kind in self._kinds():
            tally = self._book.tallies[name]
            waiting = len(due[name]) or 1 if name in due else 0
            places = [known[made] for made in tally.made if made in known]
            made = [qualities[place] for place in places]
            work[name] = Work(kind, tally.calls, tally.tokens, tally.under_way, waiting, made, places)
        return work

    def _kinds(self) -> list[tuple[str, WorkKind]]:
        kinds: list[tuple[str, WorkKind]] = [("match", "match")]
        for name, agent in self._said.agents.items():
            kinds.append(
                (name, "make" if isinstance(agent, Make) else "look" if isinstance(agent, Look) else "study")
            )
        return kinds

    def statistics(self, due: Mapping[str, list[str]]) -> Statistics:
        """Return what a supervisor is told."""
        posterior = self._book.posterior
        best = posterior.quality(posterior.ranking()[0]) if posterior.playing else None
        return Statistics(
            self.work(due),
            posterior.playing,
            self._book.counts["judged"],
            self._said.k,
            self._book.settled,
            best,
            self.room(),
            posterior.qualities(),
        )
