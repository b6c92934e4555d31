"""The chef: a planner that needs no model, on the tests of Robotouille and from wherever it is put."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agentflow.errors import UserError
from agentflow_bench.measure import Setting
from agentflow_bench.robotouille.chef import Chef, plan_actions
from agentflow_bench.robotouille.chef.dishes import Demand, Literal, read_menu
from agentflow_bench.robotouille.chef.errand import NEVER
from agentflow_bench.robotouille.chef.estimate import Estimator
from agentflow_bench.robotouille.chef.figures import Meal, chef_figures, judged, read_best
from agentflow_bench.robotouille.chef.model import COOKED, CUT, FRIED, Kind
from agentflow_bench.robotouille.chef.moves import Moves
from agentflow_bench.robotouille.chef.reading import act_step, read_kitchen
from agentflow_bench.robotouille.instance import make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.task import Task, all_tasks


def kitchen_of(suite: str, name: str, seed: int | None = 42) -> Kitchen:
    return Kitchen(make_instance(Task.builtin(suite, name), seed))


def texts(kitchen: Kitchen) -> list[str]:
    return [action.text for action in plan_actions(kitchen)]


def wandered(kitchen: Kitchen, steps: int, chance: random.Random) -> Kitchen:
    """Do random things, to do something rather than to walk."""
    for _ in range(steps):
        if kitchen.done:
            break
        valid = kitchen.valid_actions()
        kitchen.step(chance.choice([a for a in valid if a.name not in ("move", "wait")] or valid))
    return kitchen


@pytest.mark.parametrize(
    ("suite", "name", "seed", "best"),
    [
        ("synchronous", "0", 252, 14),  # of a limit of 15
        ("synchronous", "2", 420, 30),
        ("synchronous", "4", 252, 13),  # a second bun below is no fault
        ("synchronous", "6", 126, 37),
        ("asynchronous", "0", 420, 22),
        ("asynchronous", "4", 42, 42),
        ("asynchronous", "5", 84, 25),
        ("asynchronous", "6", 294, 62),  # board and stove are taken
        ("asynchronous", "7", 336, 62),
    ],
)
def test_a_plan_reaches_the_goal_within_the_limit_in_no_more_steps_than_are_known(
    suite: str, name: str, seed: int, best: int
) -> None:
    kitchen = kitchen_of(suite, name, seed)
    before = kitchen.snapshot()
    plan = plan_actions(kitchen)
    assert (kitchen.snapshot(), kitchen.steps) == (before, 0)  # only tried out
    for action in plan:
        assert not kitchen.done
        kitchen.step(action)
    assert kitchen.done
    assert len(plan) <= min(best, kitchen.instance.step_limit or 0)


def test_the_same_state_gives_the_same_plan_in_another_process() -> None:
    told = (
        "from agentflow_bench.robotouille.chef import plan_actions\n"
        "from agentflow_bench.robotouille.instance import make_instance\n"
        "from agentflow_bench.robotouille.kitchen import Kitchen\n"
        "from agentflow_bench.robotouille.task import Task\n"
        "kitchen = Kitchen(make_instance(Task.builtin('asynchronous', '1'), 210))\n"
        "print(*[action.text for action in plan_actions(kitchen)], sep='\\n')\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    other = subprocess.run(
        [sys.executable, "-c", told], env=environment, check=True, capture_output=True, text=True
    )
    assert other.stdout.splitlines() == texts(kitchen_of("asynchronous", "1", 210))


@pytest.mark.parametrize("seed", range(6))
def test_it_goes_on_from_wherever_the_kitchen_is(seed: int) -> None:
    chance = random.Random(seed)
    kitchen = kitchen_of("asynchronous", ("0", "1", "2")[seed % 3], 84)
    wandered(kitchen, 25, chance)
    for action in plan_actions(kitchen):
        kitchen.step(action)
    assert kitchen.done


def test_the_chef_plans_once_unless_something_else_happens() -> None:
    kitchen, chef = kitchen_of("asynchronous", "0"), Chef()
    while not kitchen.done:
        kitchen.step(chef.next_action(kitchen))
    assert (kitchen.steps, chef.plans) == (19, 1)
    with pytest.raises(UserError, match="is reached"):
        chef.next_action(kitchen)

    kitchen.reset()
    while not kitchen.done:
        if kitchen.steps == 6:
            kitchen.step(next(action for action in kitchen.valid_actions() if action.name == "move"))
        kitchen.step(chef.next_action(kitchen))
    assert (kitchen.steps, chef.plans) == (20, 3)


def test_other_players_wait_in_their_turns_and_get_out_of_the_way() -> None:
    kitchen = kitchen_of("multi_agent", "1", None)
    assert [where[1] for where in kitchen.true("loc")] == ["table1", "stove1"]
    plan = plan_actions(kitchen)
    assert [action.text for action in plan if action.name != "wait"][:4] == [
        "Pick up patty1 from table1 using robot1",
        "Move robot2 from stove1 to table2",  # a table of which nothing is used
        "Move robot1 from table1 to stove1",
        "Place patty1 on stove1 using robot1",
    ]
    assert [action.name for action in plan[1::2]].count("move") == 1
    for action in plan:
        kitchen.step(action)
    assert kitchen.done
    assert len(plan) <= 47


def test_a_mishap_is_made_good() -> None:
    kitchen, chef = kitchen_of("synchronous", "2"), Chef()
    while not kitchen.true("iscut"):
        kitchen.step(chef.next_action(kitchen))
    kitchen.set_fact("iscut", *kitchen.true("iscut")[0], value=False)
    while not kitchen.done:
        kitchen.step(chef.next_action(kitchen))
    assert (kitchen.steps, chef.plans) == (27, 2)  # three cuts more


def test_a_goal_out_of_reach_is_told() -> None:
    kitchen = kitchen_of("asynchronous", "5", None)
    assert len(plan_actions(kitchen)) == 19

    def do(name: str, station: str, **objects: str) -> None:
        here = kitchen.true("loc")[0][1]
        if here != station:
            kitchen.step(kitchen.action("move", p1="robot1", s1=here, s2=station))
        kitchen.step(kitchen.action(name, p1="robot1", s1=station, **objects))

    places = {where[0]: where[1] for where in kitchen.true("container_at")}
    do("pick-up-container", places["pot1"], c1="pot1")
    do("place-container", "sink1", c1="pot1")
    do("fill-pot", "sink1", c1="pot1")
    for _ in range(3):
        kitchen.step(kitchen.action("wait"))
    do("pick-up-container", "sink1", c1="pot1")
    assert plan_actions(kitchen)  # all is well
    do("fill-bowl", places["bowl1"], c1="bowl1", c2="pot1", m1="water1")
    with pytest.raises(UserError, match=r"the goal of asynchronous/5_potato_soup:None can't be reached any"):
        plan_actions(kitchen)  # nothing boils in a bowl, nor can be added


def test_goals_are_dishes() -> None:
    menu = read_menu(
        [
            Literal("item_on", (("bread", "1"), ("table", "2"))),
            Literal("iscooked", (("chicken", "3"),)),
            Literal("item_at", (("chicken", "3"), ("table", "2"))),
            Literal("item_at", (("bread", "4"), ("table", "2"))),
            Literal("clear", (("bread", "4"),)),
            Literal("iscut", (("potato", "5"),)),
            Literal("isfried", (("potato", "5"),)),
            Literal("item_on", (("potato", "5"), ("table", "6"))),
        ]
    )
    sandwich, fries = menu.stacks
    assert sandwich.demands == (Demand("bread", 0), Demand("chicken", COOKED), Demand("bread", 0))
    assert (fries.base, fries.top, menu.soups) == (Demand("potato", CUT | FRIED), None, ())
    with pytest.raises(UserError, match="knows no dish with isfryer of fryer"):
        read_menu([Literal("isfryer", (("fryer", "1"),))])
    with pytest.raises(UserError, match="with onion that goes nowhere"):
        read_menu([Literal("iscut", (("onion", "1"),))])
    with pytest.raises(UserError, match="ordered in part"):
        read_menu(
            [
                Literal("item_on", (("bread", "1"), ("table", "2"))),
                Literal("atop", (("cheese", "3"), ("bread", "1"))),
                Literal("item_at", (("onion", "4"), ("table", "2"))),
            ]
        )


def walks(tasks: Sequence[Task], seeds: Sequence[int | None], steps: int) -> None:
    """Compare the chef's model with the simulator on random moves, after random actions."""
    for task in tasks:
        for seed in seeds:
            chance = random.Random(f"{task.id} {seed}")
            kitchen = wandered(Kitchen(make_instance(task, seed)), chance.randrange(30), chance)
            if kitchen.done or kitchen.player:
                continue
            robot = kitchen.players[kitchen.player]
            world, state, menu = read_kitchen(kitchen)
            moves, estimate, last = Moves(world, menu.kinds, bool(menu.soups)), Estimator(world, menu), None
            for _ in range(steps):
                move = chance.choice(list(moves.after(state, last)) or [None])
                if move is None:
                    break
                for step in move.steps:
                    act_step(kitchen, robot, world, step)
                    for _ in range(world.ticks - 1):
                        kitchen.step(kitchen.action("wait"))
                state, last = move.state, move.steps[-1]
                found = read_kitchen(kitchen).state
                assert found._replace(effects=()) == state._replace(effects=())
                effects = [[e for e in one.effects if e[0] != Kind.IDLE] for one in (found, state)]
                assert effects[0] == effects[1]
                assert kitchen.done == (estimate(state).steps == 0)
                if kitchen.done:
                    break


def test_the_model_is_the_simulator_tick_by_tick() -> None:
    walks([task for suite in ("synchronous", "asynchronous") for task in all_tasks(suite)], (None, 42), 12)


def test_every_goal_is_read_and_estimated() -> None:
    for suite in ("synchronous", "asynchronous", "multi_agent"):
        for task in all_tasks(suite):
            world, state, menu = read_kitchen(Kitchen(make_instance(task)))
            assert menu.stacks or menu.soups
            assert 0 < Estimator(world, menu)(state).steps < NEVER


def test_figures_are_of_both_suites_and_say_what_they_lack(tmp_path: Path) -> None:
    meals = [
        Meal("synchronous", "synchronous/0_cheese_sandwich", 42, 7, 15, 0.25),
        Meal("synchronous", "synchronous/0_cheese_sandwich", 84, 12, 15, 0.25),
        Meal("asynchronous", "asynchronous/5_potato_soup", 42, None, 29, 0.5),
        Meal("asynchronous", "asynchronous/5_potato_soup", 84, 30, 29, 1.0),
    ]
    told = {figure.name: figure for figure in judged(meals, {("synchronous/0_cheese_sandwich", 84): 8})}
    assert (told["tests solved"].value, told["tests solved"].met) == (2, False)
    assert told["synchronous: steps / best known, mean"].value == 1.5
    assert not told["synchronous: steps / best known, mean"].met
    assert "AGENTFLOW_ROBOTOUILLE" in told["asynchronous: steps, mean"].note
    assert told["processor time of a plan, mean"].value == 0.5
    with pytest.raises(UserError, match=r"instances\.jsonl\.gz: no instances of Robotouille"):
        read_best(tmp_path)


def test_the_quick_figures_keep_their_bars() -> None:
    beside = Path(__file__).parents[3] / "shared/data/robotouille"
    folder = Path(os.environ.get("AGENTFLOW_ROBOTOUILLE", beside))
    data = folder if (folder / "instances.jsonl.gz").exists() else None
    figures = chef_figures(Setting(data, quick=True))
    assert figures[0].value == 20
    assert all(figure.met for figure in figures)
    if data is None:
        pytest.skip("no best known steps: set AGENTFLOW_ROBOTOUILLE to the folder of the data")
    assert sum("best known" in figure.name for figure in figures) == 2
