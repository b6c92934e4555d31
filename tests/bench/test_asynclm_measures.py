"""The measures of the AsyncLM suite, in short: each keeps its bars here."""

from __future__ import annotations

import random

import pytest

from agentflow_bench import Setting, run_suite
from agentflow_bench.asynclm.markup import transcript
from agentflow_bench.asynclm.wall import WALL
from agentflow_bench.command import load_suite
from agentflow_bench.measure import Suite


@pytest.mark.parametrize("name", ["markup_splits", "markup_values", "cancel_points", "crowd", "traces"])
def test_a_measure_keeps_its_bars(name: str) -> None:
    suite = load_suite("asynclm")
    (measure,) = [measure for measure in suite.measures if measure.name == name]
    (outcome,) = run_suite(Suite("one", "One.", [measure]), Setting(quick=True))
    assert outcome.error is None
    assert outcome.figures
    assert outcome.ok, outcome.figures


def test_the_wall_clock_form_goes_over_real_connections() -> None:
    figures = {figure.name: figure.value for figure in WALL.run(Setting(quick=True))}
    assert figures["native_refs: virtual"] < figures["native: virtual"]
    assert figures["native_refs: wall"] >= figures["native_refs: virtual"]


def test_transcripts_are_as_varied_as_they_should_be() -> None:
    rng = random.Random(1)
    texts = [transcript(rng) for _ in range(200)]
    for token in ("[CALL]", "[INTR]", "[TRAP]", "[HEAD]", "<think>"):
        assert any(token in text for text in texts)
