"""Files that are changed at random: nothing but errors for the user may come out. See targets.py."""
