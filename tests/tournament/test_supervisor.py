"""Who works next: agents by what their tokens are expected to add, matches by what is not known yet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentflow.tournament import Quality, Statistics, ThompsonWeights, Work


def sure(*means: float) -> list[Quality]:
    """Return items that have been compared often."""
    return [Quality(mean, 0.4, 12) for mean in means]


def seen(known: Sequence[Quality], room: int = 20, **work: Work) -> Statistics:
    best = max(known, key=lambda each: each.mean) if known else None
    match = {} if "match" in work else {"match": Work("match", 40, 40_000, 0, 1)}
    return Statistics({**match, **work}, len(known), 40, 5, 0.5, best, room, known)


def made(items: Sequence[Quality], first: int, *, calls: int | None = None, tokens: int = 1_000) -> Work:
    """Return the work of a maker whose items came in one after the other, from a place on."""
    number = len(items) if calls is None else calls
    return Work("make", number, number * tokens, 0, 1, items, range(first, first + len(items)))


def shares(statistics: Statistics, draws: int = 300, **options: float) -> dict[str, float]:
    """Return how often each is drawn."""
    total = dict.fromkeys(statistics.work, 0.0)
    for number in range(draws):
        weights = ThompsonWeights(**options).weigh(statistics, np.random.default_rng(number))
        assert all(weight >= 0 for weight in weights.values())
        for name, weight in weights.items():
            total[name] += weight / sum(weights.values()) / draws
    return total


def test_who_makes_better_items_is_asked_more_often() -> None:
    poor, good = sure(-1, 0, -1, 0), sure(1, 2, 1.5, 2.5)
    found = shares(seen([*poor, *good], poor=made(poor, 0), good=made(good, 4)))
    assert found["good"] > 4 * found["poor"]


def test_of_two_with_the_same_mean_the_one_who_varies_is_worth_more() -> None:
    dull, bold = sure(0, 0.1, -0.1, 0, 0.1, 0), sure(-3, 3, 2, -2.5, -2, 2.6)
    found = shares(seen([*dull, *bold], dull=made(dull, 0), bold=made(bold, 6)))
    assert found["bold"] > 4 * found["dull"]


def test_the_same_for_fewer_tokens_is_worth_more() -> None:
    one, other = sure(0, 1, 0.5, -0.5), sure(0, 1, 0.5, -0.5)
    work = {"dear": made(one, 0, tokens=50_000), "cheap": made(other, 4, tokens=500)}
    found = shares(seen([*one, *other], **work))
    assert found["cheap"] > 4 * found["dear"]


def test_who_improves_on_the_best_is_known_by_that_and_not_by_where_it_began() -> None:
    """Its mean is that of the others, but each of its items was better than all before."""
    items: list[Quality] = []
    climbs: list[Quality] = []
    stays: list[Quality] = []
    places: dict[str, list[int]] = {"climbs": [], "stays": []}
    for number in range(8):
        quality = sure(-2 + 0.8 * number)[0]
        name, own, quality = (
            ("climbs", climbs, quality) if number % 2 else ("stays", stays, sure(0.4 + 0.1 * number)[0])
        )
        places[name].append(len(items))
        own.append(quality)
        items.append(quality)
    work = {
        "climbs": Work("make", 4, 4_000, 0, 1, climbs, places["climbs"]),
        "stays": Work("make", 4, 4_000, 0, 1, stays, places["stays"]),
    }
    found = shares(seen(items, **work))
    assert found["climbs"] > 2 * found["stays"]


def test_nobody_goes_untried() -> None:
    """Nothing is known of a newcomer, so that much may come of it."""
    items = sure(0, 0.5, -0.5, 0.2, 0.1, 0.6)
    found = shares(seen(items, old=made(items, 0), new=Work("make", 0, 0, 0, 1)))
    assert found["new"] > found["old"] > 0


def test_at_the_very_beginning_everybody_has_a_chance() -> None:
    nothing = {name: Work("make", 0, 0, 0, 1) for name in "abc"}
    found = shares(Statistics({"match": Work("match"), **nothing}, 0, 0, 5, 1.0, None, 64))
    assert min(found[name] for name in "abc") > 0.2


def test_who_never_makes_anything_new_is_hardly_asked() -> None:
    items = sure(0, 1, 0.5, -0.5, 0.4)
    work = {"barren": Work("make", 30, 30_000, 0, 1), "fertile": made(items, 0)}
    found = shares(seen(items, **work))
    assert found["barren"] < 0.25 * found["fertile"]


def test_items_that_are_hardly_known_are_compared_before_more_are_made() -> None:
    known, fresh = sure(0, 1, 0.5, -0.5), [Quality(0, 2, 0)] * 6
    before = shares(seen(known, maker=made(known, 0)))
    after = shares(seen([*known, *fresh], maker=made(known, 0)))
    assert after["match"] > 0.7 > before["match"] + 0.2


def test_matches_matter_while_it_is_not_known_who_is_best() -> None:
    maker = made([], 0, calls=20)
    open_ = shares(seen([Quality(1, 1.2, 4), Quality(1, 1.2, 4), Quality(0.8, 1.2, 4)], maker=maker))
    closed = shares(seen([Quality(4, 1.2, 4), Quality(-2, 1.2, 4), Quality(-2, 1.2, 4)], maker=maker))
    assert open_["match"] > 2 * closed["match"]


def test_plain_functions_cost_a_call() -> None:
    items = sure(0, 1, 0.5, -0.5)
    work = {
        "match": Work("match", 40, 0, 0, 1),
        "one": made(items, 0, tokens=0),
        "other": Work("make", 0, 0, 0, 1),
    }
    found = shares(seen(items, **work))
    assert all(share > 0 for share in found.values())


def test_who_is_at_work_already_or_has_no_room_comes_later() -> None:
    items = sure(0, 1, 0.5, -0.5)
    busy = Work("make", 4, 4_000, 8, 1, items, range(4))
    found = shares(seen(items, busy=busy, free=made(items, 0)))
    assert found["free"] > 2 * found["busy"]
    assert shares(seen(items, room=0, maker=made(items, 0)))["match"] > 0.999


def test_looks_and_studies_wait_for_nobody_for_long() -> None:
    items = sure(0, 1, 0.5, -0.5)
    work = {"look": Work("look", 1, 500, 0, 3), "study": Work("study", 0, 0, 0, 1), "idle": Work("look")}
    found = shares(seen(items, maker=made(items, 0), **work))
    assert found["look"] > 0.3
    assert found["study"] > 0.2
    assert found["idle"] == 0


def test_the_same_chance_gives_the_same_weights() -> None:
    items = sure(0, 1, 0.5, -0.5)
    statistics = seen(items, one=made(items[:2], 0), other=made(items[2:], 2))
    one, other = (ThompsonWeights().weigh(statistics, np.random.default_rng(7)) for _ in range(2))
    assert one == other
