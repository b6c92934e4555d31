"""Overcooked: two cooks in one kitchen, a fast loop and slow thinking beside it (arXiv 2502.11882)."""

from __future__ import annotations

__all__: list[str] = []
