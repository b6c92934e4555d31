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


def test_the_first_place_and_the_border_of_the_best_get_most_matches() -> None:
    """Of ten that lie alike apart, and are known alike, those at the first place and at the fourth play."""
    posterior, rng = Posterior(range(10)), np.random.default_rng(1)
    for _ in range(4):
        for item in range(9):
            posterior.take(item, item + 1, first_won=True)
            posterior.take(item + 1, item, first_won=False)
            posterior.take(item + 1, item, first_won=True)
    played = [frozenset(pair) for _ in range(400) if (pair := ladder(posterior, 4, rng, Pairs()))]
    border = sum(pair in ({0, 1}, {3, 4}) for pair in played)
    between = sum(pair in ({1, 2}, {2, 3}) for pair in played)
    assert border > 1.5 * between > 0


def test_a_biased_judge_is_mostly_shown_the_weaker_first() -> None:
    posterior, rng = Posterior("ab"), np.random.default_rng(1)
    for _ in range(12):
        posterior.take("a", "b", first_won=True)
        posterior.take("b", "a", first_won=True)
    posterior.take("b", "a", first_won=False)
    first = [pair[0] for _ in range(300) if (pair := ladder(posterior, 1, rng, Pairs()))]
    assert 0.55 * 300 < first.count("b") <= 0.95 * 300


def test_an_unbiased_judge_is_shown_both_orders_alike() -> None:
    posterior, rng = Posterior("ab", bias=1e-9), np.random.default_rng(1)
    posterior.take("a", "b", first_won=True)
    first = [pair[0] for _ in range(600) if (pair := ladder(posterior, 1, rng, Pairs()))]
    assert 0.44 * 600 < first.count("a") < 0.56 * 600


def test_how_sure_the_order_is_grows_from_nothing_to_all() -> None:
    posterior = Posterior(range(5))
    assert posterior.concordance() == pytest.approx(0.0, abs=1e-6)
    told = []
    for _ in range(6):
        for one in ITEMS[:5]:
            for other in range(one + 1, 5):
                posterior.take(one, other, first_won=True)
                posterior.take(other, one, first_won=False)
        told.append(posterior.concordance())
    assert told == sorted(told)
    assert told[-1] > 0.9
    draws = posterior.samples(4000, np.random.default_rng(1))
    right = [(draws[:, one] > draws[:, other]).mean() for one in range(5) for other in range(one + 1, 5)]
    assert told[-1] == pytest.approx(2 * float(np.mean(right)) - 1, abs=0.02)
    assert Posterior("a").concordance() == 1


def test_qualities_are_those_of_who_plays_in_the_order_in_which_they_came() -> None:
    posterior = Posterior("abc")
    posterior.take("a", "c", first_won=True)
    posterior.withdraw("b")
    assert posterior.playing_items == ["a", "c"]
    assert [each.mean for each in posterior.qualities()] == pytest.approx(
        [posterior.quality(item).mean for item in "ac"]
    )


def test_a_newcomer_is_expected_to_be_like_those_of_its_maker() -> None:
    posterior = Posterior("abcd")
    for _ in range(6):
        for item in "bcd":
            posterior.take("a", item, first_won=True)
    usual, good = posterior.expected([]), posterior.expected(["a"])
    assert usual < good < posterior.quality("a").mean
    posterior.add("e", good)
    assert posterior.quality("e").mean == good
    assert posterior.quality("e").deviation == 2
    assert Posterior("").expected([]) == 0


def test_debates_pay_when_they_are_sharper_than_they_are_dear() -> None:
    """A debate that is twice as sharp tells four times as much."""
    single, debate = Sharpness(), Sharpness()
    for number in range(400):
        debate.learn(1.0 if number % 100 < 92 else -1.0, 0.01)
        single.learn(1.0 if number % 100 < 77 else -1.0, 0.01)
    assert 1.7 < debate.mean / single.mean < 2.4
    assert debate.pays(single, 2) > 0.9
    assert debate.pays(single, 8) < 0.1
    assert 0.2 < Sharpness().pays(Sharpness(), 1.0) < 0.6
    with pytest.raises(UserError, match="above 0"):
        debate.pays(single, 0)
