"""The score store: what it holds, written, read."""
