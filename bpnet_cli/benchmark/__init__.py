"""Figures that readers can measure again on their own machine."""
