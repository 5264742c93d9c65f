"""Benchmarks: everybody can measure the published figures on their own machine."""
