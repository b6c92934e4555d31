"""Robotouille's simulator: what actions and effects do, the goal, the text, and what is kept of it all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentflow.environment import Environment, InvalidAction
from agentflow.errors import UserError
from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.domain import Literal, literals
from agentflow_bench.robotouille.instance import make_instance
from agentflow_bench.robotouille.kitchen import Kitchen, State
from agentflow_bench.robotouille.task import SUITES, Task, all_tasks

EVERY = [task for suite in SUITES for task in all_tasks(suite)]
BESIDE = Path(__file__).parents[3] / "shared/data/robotouille"


def kitchen_of(suite: str, name: str, seed: int | None = None) -> Kitchen:
    return Kitchen(make_instance(Task.builtin(suite, name), seed))


def do(kitchen: Kitchen, *texts: str) -> Kitchen:
    """Do the valid actions that begin with these texts, one after another."""
    for text in texts:
        (action, *_) = [each for each in kitchen.valid_actions() if each.text.startswith(text)]
        kitchen.step(action)
    return kitchen


def fetched(kitchen: Kitchen, item: str, station: str) -> Kitchen:
    """Let the robot carry an item from where it lies on a station to another one, and put it there."""
    (at,) = [station for each, station in kitchen.true("item_on") if each == item]
    moves = [f"Move robot1 from {kitchen.true('loc')[0][1]} to {at}", f"Pick up {item}"]
    if kitchen.holds("loc", "robot1", at):
        del moves[0]
    return do(kitchen, *moves, f"Move robot1 from {at} to {station}", f"Place {item} on {station}")


# What the domain and the tasks are.


def test_a_task_goes_by_its_number_or_its_title() -> None:
    task = Task.builtin("asynchronous", "3.1")
    assert task.title == "3.1_lettuce_cheeseburger"
    assert task == Task.builtin("asynchronous", task.title)
    assert task.optimal_steps is None
    assert Task.builtin("asynchronous", "3").optimal_steps == 42
    with pytest.raises(UserError, match="no task `11` in synchronous"):
        Task.builtin("synchronous", "11")
    with pytest.raises(UserError, match="did you mean `asynchronous`"):
        all_tasks("asynchronus")


def test_literals_are_read_from_text() -> None:
    assert literals("loc(p1,s1) !vacant(s1)") == (
        Literal("loc", ("p1", "s1"), True),
        Literal("vacant", ("s1",), False),
    )


# One step.


def test_a_sandwich_is_made_in_eight_steps() -> None:
    kitchen = kitchen_of("synchronous", "0")
    do(kitchen, "Move robot1 from table1 to table3", "Pick up cheese1", "Move robot1 from table3 to table2")
    do(kitchen, "Stack cheese1 on top of bread2", "Move robot1 from table2 to table1", "Pick up bread1")
    do(kitchen, "Move robot1 from table1 to table2")
    assert not kitchen.done
    before = kitchen.snapshot()
    assert kitchen.step(kitchen.action("stack", p1="robot1", s1="table2", i1="bread1", i2="cheese1"))
    assert kitchen.done
    assert kitchen.steps == 8
    assert kitchen.changes(before) == (
        [
            ("atop", "bread1", "cheese1"),
            ("clear", "bread1"),
            ("item_at", "bread1", "table2"),
            ("nothing", "robot1"),
        ],
        [("clear", "cheese1"), ("has_item", "robot1", "bread1")],
    )
    with pytest.raises(InvalidAction, match="too late"):
        kitchen.act(kitchen.action("wait"))


def test_what_can_be_asked_of_a_kitchen() -> None:
    kitchen = kitchen_of("synchronous", "0")
    assert kitchen.objects[:2] == [("table1", "station"), ("table2", "station")]
    assert kitchen.players == ["robot1"]
    assert kitchen.holds("item_on", "bread1", "table1")
    assert kitchen.holds("istable", "table1")
    assert not kitchen.holds("istable", "bread1")
    assert kitchen.true("item_on") == [("bread1", "table1"), ("bread2", "table2"), ("cheese1", "table3")]
    assert ("nothing", "robot1") in kitchen.facts()
    assert kitchen.facts() == sorted(kitchen.facts())
    assert kitchen.instance.step_limit == 15
    assert kitchen.instance.layout["table1"] == (0, 1)


def test_an_action_that_is_not_valid_changes_nothing() -> None:
    kitchen = kitchen_of("synchronous", "0")
    before, text = kitchen.snapshot(), kitchen.observe()
    action = kitchen.action("pick-up-item", p1="robot1", s1="table3", i1="cheese1")
    assert not kitchen.is_valid(action)
    with pytest.raises(InvalidAction, match="`Pick up cheese1 from table3 using robot1` is not valid now"):
        kitchen.act(action)
    assert kitchen.snapshot() == before
    assert kitchen.observe() == text


@pytest.mark.parametrize(
    ("name", "objects", "fault"),
    [
        ("mov", {}, "no action `mov` (did you mean `move`?)"),
        ("move", {"p1": "robot1", "s1": "table1"}, "`move` needs `s2`, a station"),
        ("move", {"s3": "table1"}, "`move` has no parameter `s3` (there are: s1, s2, p1)"),
        ("move", {"p1": "robot1", "s1": "table1", "s2": "tabel2"}, "did you mean `table2`?"),
        ("move", {"p1": "robot1", "s1": "table1", "s2": "bread1"}, "is a station; bread1 is an item"),
        (
            "move",
            {"p1": "robot1", "s1": "table1", "s2": "table1"},
            "different objects; table1 is named twice",
        ),
    ],
)
def test_an_action_that_there_is_not(name: str, objects: dict[str, str], fault: str) -> None:
    with pytest.raises(UserError) as caught:
        kitchen_of("synchronous", "0").action(name, **objects)
    assert fault in str(caught.value)


def test_an_action_has_a_text_and_a_canonical_form() -> None:
    kitchen = kitchen_of("synchronous", "0")
    (action,) = kitchen.by_text("Pick up bread1 from table1 using robot1")
    assert action.canonical == "pick-up-item(i1=bread1,p1=robot1,s1=table1)"
    assert action == kitchen.action("pick-up-item", i1="bread1", p1="robot1", s1="table1")
    assert action["i1"] == "bread1"
    assert kitchen.by_text("Pick up bread1 from table1 using robot1 ") == []
    assert kitchen.action("wait").canonical == "wait()"


# Effects that take time.


def cooking() -> Kitchen:
    """A kitchen in which chicken was put on the stove and is being cooked, for one step."""
    return do(fetched(kitchen_of("asynchronous", "0"), "chicken1", "stove1"), "Cook chicken1")


def test_the_step_of_the_action_counts() -> None:
    kitchen = cooking()
    (effect,) = kitchen.effects
    assert (effect.action, effect.object, effect.station) == ("cook", "chicken1", "stove1")
    assert (effect.ticks, effect.needed, effect.paused) == (1, 4, False)
    do(kitchen, "Do nothing", "Do nothing")
    assert kitchen.holds("iscooking", "chicken1")
    do(kitchen, "Do nothing")
    assert kitchen.holds("iscooked", "chicken1")
    assert not kitchen.holds("iscooking", "chicken1")
    assert kitchen.n_effects == 0


def test_lifting_pauses_and_the_same_stove_resumes() -> None:
    kitchen = do(cooking(), "Pick up chicken1", "Do nothing", "Do nothing", "Do nothing", "Do nothing")
    assert not kitchen.holds("iscooking", "chicken1")
    assert kitchen.effects[0].paused
    assert kitchen.effects[0].ticks == 1
    do(kitchen, "Place chicken1 on stove1")
    assert kitchen.holds("iscooking", "chicken1")
    do(kitchen, "Do nothing")
    assert not kitchen.holds("iscooked", "chicken1")
    do(kitchen, "Do nothing")
    assert kitchen.holds("iscooked", "chicken1")


def test_cutting_takes_three_cuts_and_may_leave_something_for_ever() -> None:
    kitchen = fetched(kitchen_of("asynchronous", "1"), "lettuce1", "board1")
    do(kitchen, "Cut lettuce1", "Do nothing", "Cut lettuce1")
    assert [(each.kind, each.ticks, each.needed) for each in kitchen.effects] == [
        ("repetitive", 2, 3),
        ("conditional", 0, 0),
    ]
    do(kitchen, "Cut lettuce1")
    assert kitchen.holds("iscut", "lettuce1")
    do(kitchen, *["Do nothing"] * 5)
    assert [each.kind for each in kitchen.effects] == ["conditional"]


def test_an_effect_that_ends_makes_the_next_one_miss_a_step() -> None:
    kitchen = fetched(kitchen_of("asynchronous", "3"), "potato1", "board1")
    do(kitchen, "Cut potato1", "Cut potato1", "Cut potato1")
    assert kitchen.holds("iscut", "potato1")
    assert kitchen.holds("isfryable", "potato1")
    assert [each.kind for each in kitchen.effects] == ["conditional"]
    do(kitchen, "Do nothing")
    assert kitchen.n_effects == 0


def test_water_is_made_and_boils_in_whatever_it_is() -> None:
    kitchen = kitchen_of("asynchronous", "5")
    do(kitchen, "Move robot1 from table1 to table3", "Pick up pot1", "Move robot1 from table3 to sink1")
    do(kitchen, "Place pot1 on sink1", "Fill pot1", "Do nothing", "Do nothing")
    assert "water1" not in dict(kitchen.objects)
    with pytest.raises(UserError, match="no object `water1`"):
        kitchen.action("boil-water", p1="robot1", s1="stove1", c1="pot1", m1="water1")
    before = kitchen.snapshot()
    do(kitchen, "Do nothing")
    assert kitchen.objects[-1] == ("water1", "meal")
    assert kitchen.holds("in", "water1", "pot1")
    assert "Meal water1:\nwater1 is water\nwater1 is inside of pot1" in kitchen.observe()
    kitchen.restore(before)
    assert "water1" not in kitchen.observe()
    do(kitchen, "Do nothing", "Pick up pot1", "Move robot1 from sink1 to stove1", "Place pot1", "Boil pot1")
    do(kitchen, "Pick up pot1", "Move robot1 from stove1 to table2", "Fill bowl1 with pot1's contents")
    assert kitchen.holds("in", "water1", "bowl1")
    do(kitchen, "Move robot1 from table2 to stove1", "Place pot1 on stove1", "Do nothing")
    assert not kitchen.holds("isboiling", "water1")
    do(kitchen, "Do nothing")
    assert kitchen.holds("isboiling", "water1")


def test_a_mishap_may_change_a_fact() -> None:
    kitchen = kitchen_of("synchronous", "1")
    kitchen.set_fact("iscut", "lettuce1", value=True)
    assert "lettuce1 is cut" in kitchen.observe()
    kitchen.set_fact("iscut", "lettuce1", value=False)
    assert kitchen.snapshot() == kitchen_of("synchronous", "1").snapshot()
    with pytest.raises(UserError, match="no fact that can change"):
        kitchen.set_fact("istable", "table1", value=False)


# Several players.


def test_players_take_turns_yet_anyone_may_act() -> None:
    kitchen = kitchen_of("multi_agent", "1")
    assert kitchen.players == ["robot1", "robot2"]
    first, second = (station for _, station in kitchen.true("loc"))
    texts = [action.text for action in kitchen.valid_actions()]
    assert any(f"Move robot1 from {first}" in text for text in texts)
    assert any(f"Move robot2 from {second}" in text for text in texts)
    assert texts.count("Do nothing") == 1
    assert f"Move robot1 from {first} to {second}" not in texts
    assert kitchen.player == 0
    do(kitchen, "Move robot2")
    assert kitchen.player == 1
    do(kitchen, "Do nothing")
    assert kitchen.player == 0


# The environment.


def test_a_kitchen_is_an_environment() -> None:
    kitchen = kitchen_of("synchronous", "0")
    world: Environment[str, Action, State] = kitchen
    first = world.reset()
    kept = world.snapshot()
    assert world.act(world.valid_actions()[0]) != first
    assert world.reset(42) != first
    assert kitchen.instance.seed == 42
    with pytest.raises(UserError, match=r"not of this kitchen \(synchronous/0_cheese_sandwich:42\)"):
        world.restore(kept)


def test_an_action_of_an_equal_kitchen_can_be_done() -> None:
    here, there = kitchen_of("synchronous", "0"), kitchen_of("synchronous", "0")
    for action in there.valid_actions():
        assert here.is_valid(action)
    here.step(there.valid_actions()[0])
    assert here.steps == 1


def test_kitchens_share_nothing() -> None:
    one, other = cooking(), kitchen_of("asynchronous", "0")
    assert one.n_effects == 1
    assert other.n_effects == 0


def test_a_twin_is_where_a_plan_is_tried_out() -> None:
    kitchen = cooking()
    before = kitchen.snapshot()
    twin = do(kitchen.twin(), *["Do nothing"] * 3)
    assert twin.holds("iscooked", "chicken1")
    assert kitchen.snapshot() == before
    assert kitchen.holds("iscooking", "chicken1")
    kitchen.restore(twin.snapshot())
    assert kitchen.observe() == twin.observe()
    twin.reset(42)
    assert kitchen.instance.seed is None
    assert kitchen.steps == before.steps + 3


# Walks.

Draw = Callable[[st.SearchStrategy[int]], int]


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_kept_is_what_is_true(data: st.DataObject) -> None:
    """Along a walk: going back is exact, and what is remembered equals what is made anew, by brute force."""
    task = data.draw(st.sampled_from(EVERY))
    seed = data.draw(st.none() | st.integers(0, 10_000)) if task.suite != "multi_agent" else None
    kitchen = Kitchen(make_instance(task, seed))
    walk: list[Action] = []
    for _ in range(data.draw(st.integers(5, 40))):
        if kitchen.done:
            break
        valid = kitchen.valid_actions()
        assert all(kitchen.is_valid(action) for action in valid)
        walk.append(valid[_eager(valid, data.draw)])
        kept, text = kitchen.snapshot(), kitchen.observe()
        kitchen.step(walk[-1])
        after = kitchen.snapshot()
        kitchen.restore(kept)
        assert (kitchen.snapshot(), kitchen.observe()) == (kept, text)
        kitchen.step(walk[-1])
        assert kitchen.snapshot() == after
    anew = Kitchen(kitchen.instance)
    for action in walk:
        anew.step(action)
    assert kitchen.valid_actions() == anew.valid_actions()
    assert kitchen.observe() == anew.observe()
    assert kitchen.effects == anew.effects
    assert [(each.name, each.arguments) for each in anew.valid_actions()] == list(by_the_rules(anew))
    assert anew.done == goal_by_trying(anew)


def _eager(valid: tuple[Action, ...], draw: Draw) -> int:
    """Choose an action, rather one that does something than one that only moves."""
    busy = [number for number, each in enumerate(valid) if each.name not in ("move", "wait")]
    if busy and draw(st.integers(0, 3)):
        return busy[draw(st.integers(0, len(busy) - 1))]
    return draw(st.integers(0, len(valid) - 1))


def by_the_rules(kitchen: Kitchen) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Yield the valid actions: of all there are, those whose conditions hold, as the domain has them."""
    facts, objects = {*kitchen.facts()}, kitchen.objects
    for rule in kitchen.instance.domain.actions:
        names = [name for name, _ in rule.parameters]
        for chosen in itertools.product(
            *([name for name, each in objects if each == type_] for _, type_ in rule.parameters)
        ):
            bound = dict(zip(names, chosen, strict=True))
            if len({*chosen}) == len(chosen) and all(
                ((each.predicate, *[bound[name] for name in each.parameters]) in facts) == each.value
                for each in rule.preconditions
            ):
                yield rule.name, tuple(bound.items())


def goal_by_trying(kitchen: Kitchen) -> bool:
    """Return whether the goal is reached, by trying all choices; where they are too many, what is said."""
    instance = kitchen.instance
    if instance.goal.choices > 5_000:
        return kitchen.done
    variables = [(kind, ids, objects) for kind, (ids, objects) in instance.goal.groups.items()]
    for chosen in itertools.product(
        *(itertools.permutations(objects, len(ids)) for _, ids, objects in variables)
    ):
        bound = {
            (kind, id_): name
            for (kind, ids, _), names in zip(variables, chosen, strict=True)
            for id_, name in zip(ids, names, strict=True)
        }
        if all(
            kitchen.holds(predicate, *(bound[term] if isinstance(term, tuple) else term for term in terms))
            for predicate, terms in instance.goal.literals
        ):
            return True
    return False
