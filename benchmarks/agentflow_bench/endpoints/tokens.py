"""Token limits, limits that no answer tells, and headers that lie: on the virtual clock."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow.endpoints import Endpoint, Limits, LimitScheduler, Retry
from agentflow.testing import VirtualClock
from agentflow_bench.endpoints.limited import FORMS, Counter, Form, LimitedModel, most_in_window
from agentflow_bench.endpoints.limits import ask_all
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.chat import Settings

__all__ = ["FOUND", "LIES", "TOKENS"]

_TPM = 600_000
_RATE = 600
_ANY = 1e9


def _tokens(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    minutes = 2 if setting.quick else 5
    for form in FORMS:
        for reserves in (False, True):  # who reserves tells what is left
            model = LimitedModel(
                Counter("bucket", _ANY), tells=reserves, tokens=Counter(form, _TPM), reserves=reserves
            )
            scheduler = LimitScheduler(Limits(tokens_per_minute=_TPM), refunds=not reserves)
            settings = Settings(max_tokens=200)
            endpoint = Endpoint(model, scheduler=scheduler, settings=settings, retry=Retry.attempts(20))
            with VirtualClock() as clock:
                clock.run(ask_all(endpoint, minutes * _TPM // (200 if reserves else 110)))
            charged = sum(amount for _, amount in model.charged)
            used = charged / (model.charged[-1][0] * _TPM / 60)
            name = f"{form}, prompt and {'max_tokens' if reserves else 'reply'} counted"
            figures.append(Figure(f"{name}: of the tokens used", 100 * used, "%", Bar(">=", 98)))
            if not reserves and form != "fixed":
                most = most_in_window(model.charged, 60.0) / _TPM
                figures.append(Figure(f"{name}: most in a minute / limit", most, "x", Bar("<=", 1)))
            figures.append(Figure(f"{name}: refused", len(model.refused), bar=Bar("==", 0)))
    return figures


def _silent(form: Form, lies: dict[str, str], minutes: int, seconds: float) -> LimitedModel:
    model = LimitedModel(Counter(form, _RATE), tells=False, seconds=seconds)
    model.lies = lies
    endpoint = Endpoint(model, scheduler=LimitScheduler(Limits(), learn=True))
    with VirtualClock() as clock:
        clock.run(ask_all(endpoint, (minutes + 1) * _RATE))
    return model


def _figures(name: str, model: LimitedModel, minutes: int) -> list[Figure]:
    end = 60.0 * (minutes - 1)
    good = sum(60 <= at < end for at in model.good)
    late = sum(60 <= at < end for at in model.refused)
    return [
        Figure(
            f"{name}: used from the second minute", 100 * good / (end - 60) * 60 / _RATE, "%", Bar(">=", 95)
        ),
        Figure(f"{name}: refused a minute from then", late / (end / 60 - 1), bar=Bar("<=", 3)),
        Figure(f"{name}: refused in the first minute", sum(at < 60 for at in model.refused)),
    ]


def _found(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    minutes = 4 if setting.quick else 8
    for form in FORMS:
        for seconds in (0.01, 0.5):
            model = _silent(form, {}, minutes, seconds)
            figures += _figures(f"{form}, answers in {seconds:g} s", model, minutes)
    return figures


_LYING = {
    "per second": {"x-ratelimit-limit-requests": "10"},
    "negative": {"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "-1"},
    "no numbers": {"x-ratelimit-limit-requests": "many", "x-ratelimit-reset-requests": "soon"},
}


def _lies(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    for name, lies in _LYING.items():
        model = LimitedModel(Counter("bucket", _RATE), tells=False)
        model.lies = lies
        endpoint = Endpoint(model, scheduler=LimitScheduler(Limits(_RATE), learn=True))
        with VirtualClock() as clock:
            seconds = clock.run(ask_all(endpoint, 2 * _RATE))
        used = 100 * 120 / seconds
        figures.append(Figure(f"{name}, limit given: of it used", used, "%", Bar(">=", 98)))
        figures.append(Figure(f"{name}, limit given: refused", len(model.refused), bar=Bar("==", 0)))
        if name != "per second":  # without a reset nobody can tell it from a minute's
            figures += _figures(f"{name}, nothing given", _silent("bucket", lies, 4, 0.5), 4)
    return figures


TOKENS = Measure("tokens", "A token limit that is given, against servers that count in three ways.", _tokens)
FOUND = Measure("found", "A limit of 600 a minute that no answer tells.", _found)
LIES = Measure("lies", "Headers that can't be, or mean something else.", _lies)
