"""Many episodes at once, killed and gone on with: the measures at their quick size."""

from __future__ import annotations

import pytest

from agentflow_bench.measure import Measure, Setting, Suite
from agentflow_bench.robotouille.crowd import CROWD, KILLED
from agentflow_bench.runner import run_suite


@pytest.mark.parametrize("measure", [CROWD, KILLED], ids=lambda measure: measure.name)
def test_no_episode_is_lost(measure: Measure) -> None:
    (outcome,) = run_suite(Suite("crowds", "Crowds.", [measure]), Setting(quick=True))
    assert outcome.error is None
    assert [figure.name for figure in outcome.figures if not figure.met] == []
