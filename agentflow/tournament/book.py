"""Book: a tournament's items and verdicts, with a fact of the journal for each.

`match/N` is written when its pair is picked and again when it has ended, `task/N` when an agent's work
begins and when it has ended, with all that came of it, and `change/N` for what comes from outside. Each
end has a place in one order, so that after a crash the same is known again, to the last bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar, cast

import pydantic_core

from agentflow.errors import UserError
from agentflow.runtime.ledger import Ledger, decode, encode
from agentflow.tournament.agents import Board
from agentflow.tournament.entry import Done, Entry, Pick, Tally, Task
from agentflow.tournament.judging import Mode
from agentflow.tournament.posterior import Posterior, Sharpness
from agentflow.tournament.report import EXPERT, Note, Outcome, Played, Progress, Standing
from agentflow.tournament.tournament import Tournament
from agentflow_protocols.chat import Json

__all__ = ["Book"]

Item = TypeVar("Item")

_LOOSER = 1.0  # variance that a changed goal adds to each quality
_VERDICTS = ("first", "second", "tie")
_CHANCE = 1  # the stream of chance by which it is said how sure the ranking is
_LATELY = 60  # matches that a board shows
_SURE = 3.0  # how sharp a person's own judgement is, by a judge's


class Book(Generic[Item]):
    """What is known: items, goals, matches, and the posterior that follows from them."""

    def __init__(self, said: Tournament[Item], ledger: Ledger) -> None:
        self._said = said
        self._ledger = ledger
        self._gates = said.gates
        self.goals = [said.goal]
        self.entries: dict[str, Entry[Item]] = {}
        self.posterior: Posterior[str] = Posterior()
        self.sharpness = {"single": Sharpness(), "debate": Sharpness()}
        self.played: list[Played] = []
        self.lately: list[Played] = []
        self.tallies = {name: Tally() for name in ("match", *said.agents)}
        self.modes: dict[Mode, Tally] = {"single": Tally(), "debate": Tally()}
        self.counts = dict.fromkeys(("judged", "void", "timed out", "failed"), 0)
        self.history: list[Progress] = []
        self.settled = 0.0  # how sure the ranking was when that was last looked at
        self.duplicates = 0
        self.halted: str | None = None
        self.stopped = False  # by a person
        self.picks = 0
        self.tasks = 0
        self._advice: list[tuple[int, str, str]] = []
        self._seq = 0
        self._changes = 0

    # What came before a crash.

    def restore(self) -> tuple[list[Pick], list[Pick], list[tuple[Task, Board[Item]]]]:
        """Read what the journal knows.

        Returns the picks that were under way, those that had failed, and tasks that were under way with
        the board that each was shown.
        """
        ends: dict[int, tuple[Pick, Mapping[str, Json]] | tuple[Task, Done] | Mapping[str, Json]] = {}
        running, tasks = self._read(ends)
        boards: dict[int, Board[Item]] = {}
        failed: dict[int, Pick] = {}
        replayed = {pick.instead for pick in running}
        for seq in range(max(ends, default=0) + 1):
            if seq in ends:
                self._seq = seq
                self._again(ends[seq], failed, replayed)
            for task in tasks:
                if task.seq == seq:
                    boards[task.number] = self.board(task)
        return running, list(failed.values()), [(task, boards[task.number]) for task in tasks]

    def _read(
        self,
        ends: dict[int, tuple[Pick, Mapping[str, Json]] | tuple[Task, Done] | Mapping[str, Json]],
    ) -> tuple[list[Pick], list[Task]]:
        running: list[Pick] = []
        tasks: list[Task] = []
        while (fact := self._ledger.find(f"match/{self.picks + 1}")) is not None:
            self.picks += 1
            pick = cast("Pick", decode(fact.input, Pick))
            if fact.status != "ok":
                running.append(pick)
                continue
            end = cast("Mapping[str, Json]", decode(fact.output))
            ends[cast("int", end["seq"])] = (pick, end)
        while (fact := self._ledger.find(f"task/{self.tasks + 1}")) is not None:
            self.tasks += 1
            task = cast("Task", decode(fact.input, Task))
            if fact.status != "ok":
                tasks.append(task)
                continue
            done = cast("Done", decode(fact.output, Done))
            ends[done.seq] = (task, done)
        while (fact := self._ledger.find(f"change/{self._changes + 1}")) is not None:
            self._changes += 1
            change = cast("Mapping[str, Json]", decode(fact.output))
            ends[cast("int", change["seq"])] = change
        return running, tasks

    def _again(
        self,
        end: tuple[Pick, Mapping[str, Json]] | tuple[Task, Done] | Mapping[str, Json],
        failed: dict[int, Pick],
        replayed: set[int],
    ) -> None:
        if not isinstance(end, tuple):
            self._apply(end)
        elif isinstance(end[1], Done):
            self._apply_done(end[0], end[1])
        else:
            pick, told = end
            outcome = cast("Outcome", told["outcome"])
            self._apply_end(pick, outcome, str(told["said"]), cast("int", told["tokens"]))
            failed.pop(pick.instead, None)
            if outcome in ("timed out", "failed") and pick.number not in replayed:
                failed[pick.number] = pick

    # Matches.

    def begin(self, first: str, second: str, mode: Mode, instead: Pick | None = None) -> Pick:
        """Pick a match; all that its judge will be shown is fixed here, and a fact."""
        notes = [len(self.entries[name].notes) for name in (first, second)]
        goal = len(self.goals) - 1
        self.picks += 1
        pick = Pick(self.picks, first, second, mode, goal, notes[0], notes[1], self._seq)
        if instead is not None:
            pick = replace(pick, anew=instead.anew + 1, instead=instead.number)
        self._ledger.put(f"match/{pick.number}", None, input=self._input(pick), status="running")
        self.tallies["match"].under_way += 1
        return pick

    def end(self, pick: Pick, outcome: Outcome, said: str = "", tokens: int = 0) -> None:
        """Put down what came of a match, and learn from it: the two are one."""
        self._seq += 1
        told = {"outcome": outcome, "said": said, "tokens": tokens, "seq": self._seq}
        self._ledger.put(f"match/{pick.number}", encode(told, "a match's outcome"), input=self._input(pick))
        self._apply_end(pick, outcome, said, tokens)

    def _input(self, begun: Pick | Task) -> bytes:
        return encode(begun, "what begins") if self._ledger.durable else b""

    def _apply_end(self, pick: Pick, outcome: Outcome, said: str, tokens: int) -> None:
        played = Played(pick.number, pick.first, pick.second, pick.mode, outcome, said)
        self.played.append(played)
        self.tallies["match"].take(tokens)
        self.modes[pick.mode].take(tokens)
        if outcome not in _VERDICTS:
            self.counts[outcome] += 1
            return
        self.lately = [*self.lately[1 - _LATELY :], played]
        self.counts["judged"] += 1
        mean, variance = self.posterior.advantage(pick.first, pick.second)
        # A single look is the unit of quality; how sharp a debate is, is learned against it.
        sharpness = 1.0 if pick.mode == "single" else self.sharpness["debate"].mean
        if outcome == "tie":
            self.posterior.take_tie(pick.first, pick.second, sharpness=sharpness)
        else:
            won = outcome == "first"
            self.sharpness[pick.mode].learn(mean if won else -mean, variance)
            self.posterior.take(pick.first, pick.second, first_won=won, sharpness=sharpness)
        self._note_progress()

    def _note_progress(self) -> None:
        judged, playing = self.counts["judged"], self.posterior.playing
        if judged % max(1, playing // 8) == 0 and playing:
            best = [self.posterior.quality(name).mean for name in self.posterior.ranking()[:10]]
            self.history.append(Progress(judged, playing, best[0], sum(best) / len(best)))
            self._settle()

    def _settle(self) -> None:
        """Look how sure the ranking is, where somebody wants to know."""
        if self._said.agents or self._said.stop is not None:
            self.settled = self.settled_now()

    def settled_now(self) -> float:
        """Return how sure the ranking is.

        For `top_k` it is the share of the best k that is expected to be truly among them, for `full_order`
        the Kendall's tau that the whole is expected to have with the truth.
        """
        import numpy as np

        if self.posterior.playing < 2:
            return 1.0
        if self._said.objective == "full_order":
            return self.posterior.concordance()
        k = max(1, min(self._said.k, self.posterior.playing - 1))
        chance = np.random.default_rng([self._said.seed, _CHANCE, self.counts["judged"]])
        return self.posterior.overlap(k, chance)

    # Agents' work.

    def begin_task(self, agent: str, about: str = "") -> Task:
        """Put down that an agent begins, to look at the item `about`, if at one."""
        self.tasks += 1
        task = Task(self.tasks, agent, about, len(self.goals) - 1, self._seq)
        self._ledger.put(f"task/{task.number}", None, input=self._input(task), status="running")
        self.started(task)
        return task

    def started(self, task: Task) -> None:
        """Count a task as under way."""
        tally = self.tallies[task.agent]
        tally.under_way += 1
        if task.about:
            tally.looking.add(task.about)

    def end_task(self, task: Task, done: Done, made: Sequence[Item] = ()) -> int:
        """Put down all that came of an agent's work, as one fact; return how many items are new.

        Items beyond `most_items` are left out.
        """
        done.seq = self._seq = self._seq + 1
        fresh: dict[str, Item] = {}
        for item in made:
            if len(self.entries) + len(fresh) >= self._said.most_items:
                break
            name = self.id_of(item)
            if name in fresh or self._known(name, item, fresh):
                done.duplicates += 1
            else:
                fresh[name] = item
        done.made = [{"id": name, "value": self.plain(item)} for name, item in fresh.items()]
        self._ledger.put(f"task/{task.number}", encode(done, "an agent's work"), input=self._input(task))
        self._apply_done(task, done)
        for name, item in fresh.items():
            self.entries[name].item = item
        return len(fresh)

    def _apply_done(self, task: Task, done: Done) -> None:
        tally = self.tallies[task.agent]
        tally.take(done.tokens)
        tally.looking.discard(task.about)
        tally.failures = tally.failures + 1 if done.failed is not None else 0
        tally.fault = done.failed or tally.fault
        self.duplicates += done.duplicates
        for each in done.made:
            name = str(each["id"])
            tally.made.append(name)
            self._enter(name, each["value"], f"{task.agent}/{task.number}")
        if task.agent in self._said.makes:
            tally.barren = 0 if done.made else tally.barren + (not done.unanswered)
            tally.last = self.counts["judged"]
        if task.about and task.about in self.entries:
            self._looked(task, done, tally)
        if task.agent in self._said.studies:
            tally.last = self.counts["judged"]
            if done.failed is None:
                tally.goal = task.goal
        if done.advice is not None:
            self._advice.append((done.seq, task.agent, done.advice))
        self.halted = done.halt or self.halted

    def _looked(self, task: Task, done: Done, tally: Tally) -> None:
        entry = self.entries[task.about]
        if done.failed is not None:
            tally.failed_at[task.about] = tally.failed_at.get(task.about, 0) + 1
        if done.note is not None:
            matches = self.posterior.matches_of(entry.id) if entry.cleared else 0
            entry.notes.append(Note(task.agent, done.note, task.goal, matches))
            self._clear(entry)
        if done.reject is not None:
            self._withdraw(entry, done.reject)

    # Changes from outside.

    def add(self, item: Item, source: str) -> Entry[Item] | None:
        """Take in an item; None for one that is there already."""
        name = self.id_of(item)
        if self._known(name, item, {}):
            if source != "given":
                self._change({"duplicate": name, "source": source})
            return None
        self._change({"item": name, "value": self.plain(item), "source": source})
        self.entries[name].item = item
        return self.entries[name]

    def _known(self, name: str, item: Item, fresh: Mapping[str, Item]) -> bool:
        alike = self._said.similar
        if name in self.entries:
            return True
        others = [*(each.item for each in self.entries.values()), *fresh.values()]
        return alike is not None and any(alike(each, item) for each in others)

    def withdraw(self, name: str, why: str) -> None:
        """Take an item out."""
        self._change({"withdraw": self.entry(name).id, "why": why})

    def note(self, name: str, text: str) -> None:
        """Keep a person's review of an item."""
        self._change({"review": self.entry(name).id, "text": text})

    def prefer(self, better: str, worse: str) -> None:
        """Keep a person's own judgement of two items that play."""
        names = [self.entry(name) for name in (better, worse)]
        if better == worse:
            raise UserError(f"{self._said.name}: no item is better than itself: {better[:60]}")
        for entry in names:
            if not entry.cleared or entry.withdrawn is not None:
                raise UserError(f"{self._said.name}: the item {entry.id} does not play")
        self._change({"prefer": better, "over": worse})

    def set_goal(self, goal: str) -> None:
        """Change the goal for all matches that are picked from now on."""
        if not goal.strip():
            raise UserError(f"{self._said.name}: the goal is empty: say what is wanted")
        self._change({"goal": goal})

    def advise(self, topic: str, text: str) -> None:
        """Keep what a person advises."""
        self._change({"topic": topic, "text": text})

    def stop(self) -> None:
        """Keep that a person has ended it."""
        self._change({"stop": True})

    def entry(self, name: str) -> Entry[Item]:
        """Return the item of an id. Raises `UserError`."""
        found = self.entries.get(name)
        if found is None:
            raise UserError(f"{self._said.name}: no item has the id {name[:60]!r}")
        return found

    def _change(self, change: dict[str, Json]) -> None:
        change["seq"] = self._seq + 1
        data = encode(change, "a change of a tournament")  # what has no JSON form changes nothing
        self._seq += 1
        self._changes += 1
        self._ledger.put(f"change/{self._changes}", data)
        self._apply(change)

    def _apply(self, change: Mapping[str, Json]) -> None:
        if "item" in change:
            self._enter(str(change["item"]), change["value"], str(change["source"]))
        elif "duplicate" in change:
            self.duplicates += 1
        elif "withdraw" in change:
            self._withdraw(self.entries[str(change["withdraw"])], str(change["why"]))
        elif "review" in change:
            entry = self.entries[str(change["review"])]
            matches = self.posterior.matches_of(entry.id) if entry.cleared else 0
            entry.notes.append(Note(EXPERT, str(change["text"]), len(self.goals) - 1, matches))
        elif "prefer" in change:
            better, worse = str(change["prefer"]), str(change["over"])
            self.posterior.take(better, worse, first_won=True, sharpness=_SURE)
        elif "topic" in change:
            self._advice.append((cast("int", change["seq"]), str(change["topic"]), str(change["text"])))
        elif "stop" in change:
            self.stopped = True
        else:
            self.goals.append(str(change["goal"]))
            self.posterior.loosen(_LOOSER)
            self._settle()

    def _enter(self, name: str, value: Json, source: str) -> None:
        self.entries[name] = Entry(name, self.read(value), source)
        self._clear(self.entries[name])

    def _clear(self, entry: Entry[Item]) -> None:
        """Let an item play, once every gate has let it pass."""
        by = {note.by for note in entry.notes}
        if not entry.cleared and entry.withdrawn is None and all(gate in by for gate in self._gates):
            # Of a maker's items the next is expected to be like those before.
            maker = self.tallies.get(entry.source.partition("/")[0])
            made = [] if maker is None else [name for name in maker.made if self._plays(name)]
            self.posterior.add(entry.id, self.posterior.expected(made))
            entry.cleared = True
            self._settle()

    def _plays(self, name: str) -> bool:
        entry = self.entries.get(name)
        return entry is not None and entry.cleared and entry.withdrawn is None

    def _withdraw(self, entry: Entry[Item], why: str) -> None:
        entry.withdrawn = why
        if entry.cleared:
            self.posterior.withdraw(entry.id)
            self._settle()

    # What is known.

    def id_of(self, item: Item) -> str:
        """Return an item's id."""
        if self._said.id is not None:
            return self._said.id(item)
        text = json.dumps(self.plain(item), sort_keys=True, ensure_ascii=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def plain(self, item: Item) -> Json:
        """Return an item as JSON. Raises `UserError` for one that has no JSON form."""
        try:
            return cast("Json", pydantic_core.to_jsonable_python(item))
        except pydantic_core.PydanticSerializationError as error:
            raise UserError(f"{self._said.name}: an item has no JSON form: {error}") from None

    def read(self, value: Json) -> Item:
        """Return the item that a JSON value is."""
        return cast("Item", decode(json.dumps(value).encode(), self._said.item_type))

    def advice(self, seq: int | None = None) -> dict[str, str]:
        """Return what is advised, the last of each topic, or what was at a place in the order."""
        return {topic: text for at, topic, text in self._advice if seq is None or at <= seq}

    def board(self, task: Task) -> Board[Item]:
        """Return what an agent is shown now."""
        return Board(
            self.goals[-1],
            self.ranking(),
            self.advice(),
            tuple(self.lately),
            self.counts["judged"],
            task.number,
            self._said.seed,
        )

    def standing(self, entry: Entry[Item], rank: int = 0) -> Standing[Item]:
        """Return where an item stands."""
        mean = low = high = 0.0
        matches = 0
        if entry.cleared:
            known = self.posterior.quality(entry.id)
            mean, matches = known.mean, known.matches
            low, high = known.interval()
        notes = tuple(entry.notes)
        return Standing(
            entry.id, entry.item, mean, low, high, matches, entry.source, notes, entry.withdrawn, rank
        )

    def ranking(self) -> list[Standing[Item]]:
        """Return the items that play, best first."""
        ranked = self.posterior.ranking()
        return [self.standing(self.entries[name], rank) for rank, name in enumerate(ranked, 1)]
