"""What counts as beyond chance, the same in sentences, tables and figures."""

SIGNIFICANT = 0.01
"""Chance of being wrong anywhere among all comparisons (divided by their number) that is taken for none."""
