"""Criteria declared before the run, and their judgement."""
