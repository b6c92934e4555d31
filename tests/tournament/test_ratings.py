"""Ratings to compare with are what they are said to be, and the posterior agrees with others' fits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agentflow.tournament import Posterior
from agentflow_bench.measure import Setting
from agentflow_bench.tournament.ratings import ORDER
from agentflow_bench.tournament.rivals import RIVALS, TrueSkill, glicko
from agentflow_bench.tournament.supervised import SUPERVISED, Mock, Rounds, found
from agentflow_bench.tournament.whole import WHOLE
from agentflow_bench.tournament.worlds import World, tau

COUNT = 16


def matches(seed: int, each: int = 12) -> tuple[World, list[tuple[int, int]]]:
    """Return a world and matches at random, the winner first."""
    world = World.of(COUNT, seed)
    played: list[tuple[int, int]] = []
    for _ in range(each * COUNT):
        a, b = (int(item) for item in world.rng.choice(COUNT, 2, replace=False))
        played.append((a, b) if world.first_wins(a, b) else (b, a))
    return world, played


def test_glicko_gives_its_authors_worked_example() -> None:
    """M. Glickman, The Glicko system: 1500 with 200 wins against 1400, loses to 1550 and 1700."""
    rating, deviation = glicko(1500, 200, [(1400, 30, 1), (1550, 100, 0), (1700, 300, 0)])
    assert rating == pytest.approx(1464, abs=0.5)
    assert deviation == pytest.approx(151.4, abs=0.1)


def test_trueskill_is_the_librarys() -> None:
    trueskill = pytest.importorskip("trueskill", reason="TrueSkill's library is not installed")
    own = TrueSkill(COUNT)
    rules = trueskill.TrueSkill(draw_probability=0.0, tau=0.0)
    theirs = [rules.create_rating() for _ in range(COUNT)]
    _, played = matches(1)
    for winner, loser in played:
        own.take(winner, loser, True)
        theirs[winner], theirs[loser] = trueskill.rate_1vs1(theirs[winner], theirs[loser], env=rules)
    assert np.allclose(own.means(), [each.mu for each in theirs], atol=1e-6)
    assert np.allclose(own.doubts(), [each.sigma for each in theirs], atol=1e-6)
    quality = own.quality(0)
    for other in range(1, COUNT):
        wanted = trueskill.quality_1vs1(theirs[0], theirs[other], env=rules)
        assert quality[other] == pytest.approx(wanted)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_posterior_orders_items_as_other_fits_of_the_same_matches(seed: int) -> None:
    choix = pytest.importorskip("choix", reason="choix is not installed")
    _, played = matches(seed)
    posterior = Posterior(range(COUNT), bias=1e-9)
    for winner, loser in played:
        posterior.take(winner, loser, first_won=True)
    means = np.array([quality.mean for quality in posterior.qualities()])
    propagated, _ = choix.ep_pairwise(COUNT, played, alpha=0.25, model="logit")
    likely = choix.ilsr_pairwise(COUNT, played, alpha=0.01)
    assert tau(means, propagated) > 0.9
    assert tau(means, likely) > 0.85
    assert np.abs(means - means.mean() - (propagated - propagated.mean())).max() < 0.2


def test_the_posterior_agrees_with_plackett_and_luce() -> None:
    openskill = pytest.importorskip("openskill.models", reason="openskill is not installed")
    _, played = matches(4, each=40)
    model = openskill.PlackettLuce(tau=0.0)
    theirs = [model.rating() for _ in range(COUNT)]
    posterior = Posterior(range(COUNT), bias=1e-9)
    for winner, loser in played:
        posterior.take(winner, loser, first_won=True)
        (theirs[winner],), (theirs[loser],) = model.rate([[theirs[winner]], [theirs[loser]]])
    means = np.array([quality.mean for quality in posterior.qualities()])
    assert tau(means, np.array([each.mu for each in theirs])) > 0.75


def test_a_fixed_schedule_and_a_mock_do_as_they_are_told() -> None:
    """Items that are always 3 are found, and nothing better; for no tokens, none are made."""
    mocks = {"three": Mock(3.0, 0.0, 1_000)}
    best = found(mocks, Rounds(3), 1, budget=60_000) + float(World.of(8, 1).qualities.mean())
    assert best == pytest.approx(3.0)
    assert found(mocks, Rounds(3), 1, budget=0) < 3.0


@pytest.mark.parametrize("measure", [RIVALS, SUPERVISED, WHOLE, ORDER])
def test_quick_measures_of_ratings_give_figures(measure: object) -> None:
    figures = measure.run(Setting(quick=True))  # type: ignore[attr-defined]
    assert figures
    assert all(math.isfinite(figure.value) for figure in figures)
    assert all(figure.met for figure in figures)
