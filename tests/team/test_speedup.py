"""A team is done sooner than the same workers in rounds."""

from agentflow_bench.asynclm.team import team_speedup


def test_a_team_beats_rounds_when_times_have_a_heavy_tail():
    measured = team_speedup(seeds=4, tasks=160)
    assert measured.mean >= 1.8
    assert measured.idle_s == 0
