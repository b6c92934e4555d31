"""Overcooked: the kitchen behind its seam, cooks by rule, and slow thinking beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

pytest.importorskip("overcooked", reason="the extra `bench` is not installed", exc_type=ImportError)

from agentflow import InvalidAction
from agentflow.errors import UserError
from agentflow_bench.overcooked import kitchen as kitchen_module
from agentflow_bench.overcooked.belief import belief_of, fits
from agentflow_bench.overcooked.fast import allowed, named
from agentflow_bench.overcooked.games import Game, scenarios
from agentflow_bench.overcooked.imagine import best_role
from agentflow_bench.overcooked.kitchen import LAYOUTS, Kitchen, floor_of
from agentflow_bench.overcooked.macro import Macro, action_of
from agentflow_bench.overcooked.partner import PARTNERS, Partner, partner_of
from agentflow_bench.overcooked.roles import next_macro
from agentflow_bench.overcooked.seen import ACTIONS, Seen


def cooked(layout: str, partner: str, seed: int, role: str = "all") -> list[Seen]:
    """Play a game by the state machine, and return all that was seen."""
    kitchen = Kitchen(layout, partner_of(partner))
    seen = [kitchen.reset(seed)]
    while not kitchen.done:
        seen.append(
            kitchen.act(action_of(next_macro(seen[-1], kitchen.floor, role), seen[-1], kitchen.floor))
        )
    return seen


# The kitchen.


def test_a_game_goes_as_the_package_plays_it() -> None:
    """Ours steps in place; the package copies the whole state each time: both see the same."""
    kitchen = Kitchen("coordination_ring", Partner("all"))
    seen = kitchen.reset(3)
    for _ in range(200):
        action = action_of(next_macro(seen, kitchen.floor), seen, kitchen.floor)
        before = kitchen.snapshot().state
        seen = kitchen.act(action)
        moves = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0), "stay": (0, 0)}
        both = [moves.get(each, each) for each in (action, kitchen.theirs)]
        after, _ = kitchen._mdp.get_state_transition(before, both[::-1])  # seed 3: ours is the second
        assert after == kitchen.snapshot().state
    assert seen.score > 0


def test_the_same_seed_is_the_same_game_and_others_differ() -> None:
    assert cooked("cramped_room", "all", 5) == cooked("cramped_room", "all", 5)
    starts = {
        tuple(chef.at for chef in Kitchen("coordination_ring", Partner("idle")).reset(n).chefs)
        for n in range(9)
    }
    assert len(starts) > 3


def test_a_snapshot_brings_everything_back() -> None:
    kitchen = Kitchen("asymmetric_advantages", Partner("dish"))
    kitchen.reset(1)

    def on() -> Iterator[Seen]:
        for _ in range(60):
            seen = kitchen.observe()
            yield kitchen.act(action_of(next_macro(seen, kitchen.floor), seen, kitchen.floor))

    list(on())
    kept = kitchen.snapshot()
    first = list(on())
    kitchen.restore(kept)
    assert list(on()) == first


def test_what_is_seen_is_json_and_what_is_no_action_changes_nothing() -> None:
    kitchen = Kitchen("cramped_room", Partner("idle"), ticks=2)
    seen = kitchen.reset(0)
    assert json.loads(json.dumps(seen.as_json()))["pots"] == [{"at": [2, 0], "onions": 0, "left": None}]
    assert kitchen.valid_actions() == ACTIONS
    with pytest.raises(InvalidAction, match="'jump' is no action here; valid: up, down"):
        kitchen.act("jump")
    assert kitchen.observe() is seen
    kitchen.act("stay")
    kitchen.act("stay")
    assert kitchen.done
    with pytest.raises(InvalidAction, match="the game is over"):
        kitchen.act("stay")


def test_unknown_kitchens_and_partners_are_told() -> None:
    with pytest.raises(UserError, match="no layout 'cellar'; there are cramped_room"):
        Kitchen("cellar", Partner("all"))
    with pytest.raises(UserError, match="other dishes than onion soup"):
        Kitchen("counter_circuit", Partner("all"))
    for text in ("chef", "onion-chef@3", "onion-dish@soon"):
        with pytest.raises(UserError, match="no partner"):
            partner_of(text)
    assert partner_of("onion-dish@200").role_at(199) == "onion"
    assert partner_of("onion-dish@200").role_at(200) == "dish"


def test_a_missing_extra_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kitchen_module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"overcooked is not installed: pip install .*\[bench\]"):
        Kitchen("tutorial_0", Partner("all"))  # a layout that nobody has asked for yet


# Cooks by rule.


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("partner", PARTNERS)
def test_the_state_machine_serves_beside_every_partner(layout: str, partner: str) -> None:
    seen = cooked(layout, partner, seed=1)
    assert seen[-1].score >= 80
    longest = max(min(chef.still for chef in each.chefs) for each in seen)
    assert longest < 40  # nobody waits for the other for ever


def test_what_one_side_lacks_is_passed_over_the_counter() -> None:
    seen = cooked("forced_coordination", "all", 0)
    assert seen[-1].score > 150
    handed = {thing for each in seen for _, thing in each.counters}
    assert {"onion", "dish"} <= handed


def test_two_who_meet_in_a_narrow_way_get_past() -> None:
    """In the circuit each way is one cell wide: the one who carries more goes on, the other turns round."""
    assert cooked("counter_circuit_o_1order", "all", 0)[-1].score >= 140


def test_one_of_a_single_role_does_nothing_else() -> None:
    for partner, never in (
        ("onion", {"dish", "soup"}),
        ("dish", {"onion"}),
        ("idle", {"onion", "dish", "soup"}),
    ):
        held = {each.chefs[1].holds for each in cooked("cramped_room", partner, 2)}
        assert not held & never


def test_a_macro_that_can_not_be_done_now_is_none() -> None:
    kitchen = Kitchen("cramped_room", Partner("idle"))
    seen = kitchen.reset(0)
    assert named("serve", seen, kitchen.floor) is None
    onion = named("onion", seen, kitchen.floor)
    assert onion is not None
    assert set(onion.targets) == {(0, 1), (4, 1)}
    assert action_of(Macro("wait"), seen, kitchen.floor) in ACTIONS
    assert allowed({"role": "dish"}) is None
    assert "a task is" in str(allowed({"macro": "explode"}))
    assert "a task is" in str(allowed("prose"))


def test_ways_over_a_counter_are_found() -> None:
    assert floor_of("counter_circuit_o_1order").bridges((3, 3)) != ()
    assert floor_of("cramped_room").bridges((1, 1)) == ()


# Believing and imagining.


@pytest.mark.parametrize("partner", PARTNERS)
def test_a_partner_is_known_by_what_it_takes(partner: str) -> None:
    seen = cooked("cramped_room", partner, 4)
    assert belief_of(seen[100:160]) in (partner, *(["onion"] if partner == "all" else []))
    assert belief_of(seen[:3]) is None


def test_a_belief_holds_until_the_partner_does_something_else() -> None:
    seen = cooked("asymmetric_advantages", "dish-onion@200", 0)
    assert fits("dish", 180, seen[195])
    assert not fits("dish", 180, seen[260])
    assert not fits("idle", 0, seen[60])


def test_the_role_that_fits_depends_on_the_partner() -> None:
    near_the_onions = Kitchen("asymmetric_advantages", Partner("all")).reset(0)
    assert best_role(near_the_onions, "dish") == "onion"
    assert best_role(near_the_onions, "idle") == "all"
    assert best_role(Kitchen("counter_circuit_o_1order", Partner("all")).reset(0), "onion") == "supply"


def test_scenarios_are_layouts_by_partners_by_seeds() -> None:
    assert len(scenarios()) == 120
    assert scenarios(["cramped_room"], ["dish"], [7]) == [Game("cramped_room", Partner("dish"), 7)]
