"""Robotouille: a kitchen in which cooking takes time, and a benchmark of agents in it (arXiv 2502.05227)."""
