"""Scoring: statistics gathered by an engine, turned into scores by metrics, reduced, and written to stores."""
