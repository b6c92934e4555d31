"""Overcooked: the ways to play, a model as a mind, the command and the replay."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("overcooked", reason="the extra `bench` is not installed", exc_type=ImportError)

from agentflow.errors import UserError
from agentflow.testing import FakeEndpoint
from agentflow_bench.command import load_suite
from agentflow_bench.overcooked.command import Wish, play, trials_of
from agentflow_bench.overcooked.figures import means, played, playing_of
from agentflow_bench.overcooked.games import Game, scenarios
from agentflow_bench.overcooked.model import Asking, read_macro, read_tasks, read_thoughts
from agentflow_bench.overcooked.modes import MODES, Playing, mode_of
from agentflow_bench.overcooked.partner import Partner, partner_of
from agentflow_bench.overcooked.watch import watch
from agentflow_bench.trials import Row
from agentflow_bench.trials.run import Keeping

FITTING = Game("asymmetric_advantages", Partner("dish"), 0)  # near the onions, beside one who serves


def score(way: str, game: Game = FITTING, *, guard: bool = True, ticks: int = 400) -> float:
    """Return what a game brings."""
    playing = replace(playing_of(way, guard=guard), ticks=ticks)
    return float(played(playing, [game])[0].figures["score"] or 0)


def asked(reply: str, mode: str = "dual", ticks: int = 400, **more: object) -> Row:
    """Play a game with a model that says the same each time."""
    mind = Asking(FakeEndpoint(lambda request: reply), latency=4, **more)  # type: ignore[arg-type]
    playing = Playing(mode_of(mode), mind, ticks=ticks, rules=bool(more.get("sandbox")))
    return played(playing, [FITTING])[0]


# The ways to play.


def test_thinking_beside_the_game_beats_waiting_for_it() -> None:
    dual, fsm = score("dual@12"), score("fsm")
    assert dual > fsm
    assert dual > 1.4 * score("periodic-block@12")
    assert dual > 2.5 * score("block@12")


@pytest.mark.parametrize("name", MODES)
def test_every_way_plays_and_misses_no_tick(name: str) -> None:
    playing = replace(playing_of(f"{name}@4"), ticks=200)
    row = played(playing, [Game("cramped_room", Partner("onion"), 1)])[0]
    assert float(row.figures["score"] or 0) >= 40
    assert row.figures["missed"] == 0
    assert bool(row.figures["calls"]) == MODES[name].thinks


def test_without_a_theory_of_mind_the_partner_is_taken_for_another() -> None:
    """One who fetches onions only leaves the serving: who believes nothing leaves it, too."""
    game = Game("asymmetric_advantages", Partner("onion"), 0)
    assert score("dpt@12", game) > score("react@12", game)


def test_a_guarded_assignment_ends_with_what_it_rests_on() -> None:
    game = Game("asymmetric_advantages", partner_of("dish-idle@200"), 0)
    assert score("dual@40", game) >= 1.1 * score("dual@40", game, guard=False)


def test_the_same_game_is_the_same_each_time() -> None:
    games = scenarios(["cramped_room"], ["all"], [3])
    assert means(played(playing_of("dual@12"), games)) == means(played(playing_of("dual@12"), games))


def test_a_mode_that_thinks_needs_a_mind() -> None:
    with pytest.raises(UserError, match="no agent 'dula'; there are fsm"):
        mode_of("dula")
    with pytest.raises(RuntimeError, match="agent dual thinks: it needs a mind"):
        played(Playing(mode_of("dual")), [FITTING])


def test_a_mind_that_fails_is_asked_again_and_holds_up_only_who_waits_for_it() -> None:
    row = asked("prose", "block")
    assert row.figures["score"] == 0.0
    assert row.figures["calls"] == 7  # every 60 ticks


# A model as a mind.


def test_a_models_tasks_steer_the_fast_side() -> None:
    good = asked('He serves. ```json\n[{"do": {"role": "onion"}}]\n```')
    assert float(good.figures["score"] or 0) > score("fsm")
    assert good.figures["applied"] == 20
    assert asked('[{"do": {"role": "dish"}}]').figures["score"] == 0.0  # a bad idea is followed, too


@pytest.mark.parametrize(
    "reply", ["I would rather not.", '[{"do": {"role": "boss"}}]', "[[1]]", '{"when": 3']
)
def test_what_can_not_be_read_costs_an_answer_and_not_the_game(reply: str) -> None:
    row = asked(reply, ticks=120)
    assert row.figures["score"] == score("fsm", ticks=120)
    assert row.figures["applied"] == 0


def test_an_empty_list_leaves_all_to_the_state_machine() -> None:
    assert asked("[]", ticks=120).figures["score"] == score("fsm", ticks=120)


def test_rules_run_in_a_sandbox() -> None:
    pytest.importorskip("pydantic_monty", reason="the extra `sandbox` is not installed")
    when = "state['tick'] > 20 and state['partner']['holds'] != 'onion'"
    rule = json.dumps([{"when": when, "do": {"role": "onion"}}])
    assert float(asked(rule, sandbox=True).figures["score"] or 0) > score("fsm")


def test_a_token_clock_makes_long_answers_late() -> None:
    long = "word " * 600 + '[{"do": {"role": "onion"}}]'
    fence = "word " * 600 + '```json\n[{"do": {"role": "onion"}}]\n```'
    assert read_tasks(fence, 0, rules=False).values
    quick, slow = (asked(fence, ticks=150, per_tick=tokens) for tokens in (1000.0, 10.0))
    assert int(slow.figures["calls"] or 0) < int(quick.figures["calls"] or 0)
    with pytest.raises(UserError, match="no JSON"):
        read_tasks(long, 0, rules=False)


def test_answers_are_read() -> None:
    rules = '[{"when": "True", "do": {"macro": "wait"}}]'
    assert read_tasks(rules, 3, rules=True).policy == json.loads(rules)
    with pytest.raises(UserError, match="no sandbox"):
        read_tasks(rules, 3, rules=False)
    assert read_macro('{"macro": "dish"}', 7).values == {"assignment": [{"macro": "dish", "asked": 7}]}
    thoughts = "**Guideline:** Bring onions.\n\n**Belief:** It serves."
    assert read_thoughts(thoughts, tom=True).values == {"guideline": "Bring onions.", "belief": "It serves."}
    assert read_thoughts(thoughts, tom=False).values == {"guideline": "Bring onions."}
    assert read_thoughts("Be quick.", tom=True).values == {"guideline": "Be quick."}


# The command.


def test_the_command_plays_and_the_replay_ends_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wish = Wish(("dual",), layouts=("cramped_room",), partners=("onion", "dish"), seeds=1)
    keeping = Keeping(tmp_path / "out", tmp_path / "journals", quiet=True)
    assert play(wish, keeping) == 0
    assert "fsm" in capsys.readouterr().out  # always in the same table
    rows = tmp_path / "out/overcooked-dual-rules-12_ticks.jsonl"
    told = [json.loads(line) for line in rows.read_text().splitlines()]
    watch(rows, "cramped_room/dish/0", 1)
    assert f"cramped_room/dish/0: {told[1]['figures']['score']} points" in capsys.readouterr().out
    with pytest.raises(UserError, match="no game nowhere"):
        watch(rows, "nowhere", 1)


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (Wish(seeds=0), "--seeds"),
        (Wish(latency=-1), "--latency"),
        (Wish(latency=1, per_tick=1), "give one"),
        (Wish(per_tick=5), "needs a model"),
        (Wish(rules=True), "needs a model"),
        (Wish(agents=("dpd",)), "no agent 'dpd'"),
        (Wish(layouts=("moon",)), "no layout 'moon'"),
    ],
)
def test_a_wrong_wish_is_told(wish: Wish, told: str) -> None:
    with pytest.raises(UserError, match=told):
        trials_of(wish)


def test_the_suite_lists_its_measures() -> None:
    names = [measure.name for measure in load_suite("overcooked").measures]
    assert names == ["kitchen", "modes", "foresight", "intervals", "stale guard", "wall"]
