"""The fault matrix: the effect of every sandbox fault on every operation."""
