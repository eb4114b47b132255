"""The schema of every result table."""
