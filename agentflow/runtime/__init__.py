"""Runs, their clock, their events and their journal."""
