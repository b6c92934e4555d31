"""What matches tell of qualities: less doubt with each, in any order, and a covariance that stays one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.errors import UserError
from agentflow.tournament import Pairs, Posterior, Sharpness, ladder, swiss

ITEMS = range(6)
MATCHES = st.lists(
    st.tuples(
        st.sampled_from(ITEMS), st.sampled_from(ITEMS), st.sampled_from(("first", "second", "tie"))
    ).filter(lambda match: match[0] != match[1]),
    max_size=40,
)


def take(posterior: Posterior[int], first: int, second: int, verdict: str) -> None:
    if verdict == "tie":
        posterior.take_tie(first, second)
    else:
        posterior.take(first, second, first_won=verdict == "first")


@settings(max_examples=40, deadline=None)
@given(MATCHES)
def test_a_match_never_makes_a_quality_less_sure(matches: list[tuple[int, int, str]]) -> None:
    posterior = Posterior(ITEMS)
    for match in matches:
        before = [posterior.quality(item).deviation for item in ITEMS]
        take(posterior, *match)
        after = [posterior.quality(item).deviation for item in ITEMS]
        assert all(0 < new <= old + 1e-9 for new, old in zip(after, before, strict=True))
    cov = posterior.covariance()
    assert np.allclose(cov, cov.T, atol=1e-9)
    assert np.linalg.eigvalsh(cov).min() > 0


@settings(max_examples=40, deadline=None)
@given(MATCHES, st.randoms(use_true_random=False))
def test_the_order_of_matches_hardly_matters(matches: list[tuple[int, int, str]], chance: object) -> None:
    one, other = Posterior(ITEMS), Posterior(ITEMS)
    for match in matches:
        take(one, *match)
    chance.shuffle(matches)  # type: ignore[attr-defined]
    for match in matches:
        take(other, *match)
    for item in ITEMS:
        a, b = one.quality(item), other.quality(item)
        assert abs(a.mean - b.mean) < 0.6
        assert a.matches == b.matches


def test_a_tie_draws_two_items_together() -> None:
    posterior = Posterior(["a", "b"])
    posterior.take("a", "b", first_won=True)
    gap = posterior.quality("a").mean - posterior.quality("b").mean
    posterior.take_tie("a", "b")
    assert 0 < posterior.quality("a").mean - posterior.quality("b").mean < gap


def test_what_always_wins_when_shown_first_is_bias_and_no_quality() -> None:
    posterior = Posterior(["a", "b"])
    for _ in range(20):
        posterior.take("a", "b", first_won=True)
        posterior.take("b", "a", first_won=True)
    assert posterior.bias.mean > 1
    assert abs(posterior.quality("a").mean - posterior.quality("b").mean) < 0.3


def test_a_withdrawn_item_is_neither_ranked_nor_paired() -> None:
    posterior = Posterior(range(4))
    posterior.take(0, 1, first_won=True)
    posterior.withdraw(0)
    rng = np.random.default_rng(1)
    assert sorted(posterior.ranking()) == [1, 2, 3]
    pairs = [
        pick(posterior)
        for _ in range(30)
        for pick in (
            lambda known: ladder(known, 2, rng, Pairs()),
            lambda known: swiss(known, rng, Pairs()),
        )
    ]
    assert all(pair is not None and 0 not in pair for pair in pairs)
    assert 0 < posterior.overlap(2, rng) < 1


def test_a_pair_under_way_is_not_picked_again() -> None:
    posterior, pairs, rng = Posterior("ab"), Pairs(), np.random.default_rng(1)
    pairs.begin("a", "b")
    assert ladder(posterior, 1, rng, pairs) is None
    pairs.end("b", "a")
    assert ladder(posterior, 1, rng, pairs) is not None


def test_a_changed_goal_loosens_what_is_known() -> None:
    posterior = Posterior("ab")
    before = posterior.quality("a").deviation
    posterior.loosen(1.0)
    assert posterior.quality("a").deviation > before


def test_a_sharper_kind_of_judging_is_told_apart() -> None:
    sharp, blunt = Sharpness(), Sharpness()
    for number in range(60):
        sharp.learn(1.5, 0.1)
        blunt.learn(1.5 if number % 5 < 3 else -1.5, 0.1)
    assert sharp.mean > 2 * blunt.mean


def test_no_item_is_there_twice() -> None:
    with pytest.raises(UserError, match="in the tournament already"):
        Posterior("aa")
