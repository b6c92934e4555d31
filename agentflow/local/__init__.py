"""Models that run on this machine: llama.cpp in a process of its own, and fetching models for it."""

from __future__ import annotations

from agentflow.local.model import LocalModel, open_model

__all__ = ["LocalModel", "open_model"]
