"""How sure a ranking is: the same scores from other texts or other probes."""
