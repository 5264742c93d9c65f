"""Disks that are full, processes that are killed, power that goes: at every single write of each command."""
