"""Tournaments: who is best, by matches, and how sure that is."""

from __future__ import annotations

from agentflow.tournament.pairing import Objective, Pairs, ladder, swiss
from agentflow.tournament.posterior import Posterior, Quality, Sharpness

__all__ = ["Objective", "Pairs", "Posterior", "Quality", "Sharpness", "ladder", "swiss"]
