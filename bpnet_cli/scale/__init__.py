"""Runs of whole workflows on many machines, by engines made for it."""
