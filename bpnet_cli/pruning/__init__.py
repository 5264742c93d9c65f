"""Removing channels that matter little."""
