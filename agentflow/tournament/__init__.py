"""Tournaments: who is best, by matches, and how sure that is."""

from __future__ import annotations

from agentflow.tournament.judging import Judge, Match, Mode, Verdict, verdict_of
from agentflow.tournament.live import LiveTournament
from agentflow.tournament.pairing import Objective, Pairs, ladder, swiss
from agentflow.tournament.posterior import Posterior, Quality, Sharpness
from agentflow.tournament.report import Outcome, Played, Standing, StopReason, TournamentReport
from agentflow.tournament.tournament import Board, Maker, Review, Tournament

__all__ = [
    "Board",
    "Judge",
    "LiveTournament",
    "Maker",
    "Match",
    "Mode",
    "Objective",
    "Outcome",
    "Pairs",
    "Played",
    "Posterior",
    "Quality",
    "Review",
    "Sharpness",
    "Standing",
    "StopReason",
    "Tournament",
    "TournamentReport",
    "Verdict",
    "ladder",
    "swiss",
    "verdict_of",
]
