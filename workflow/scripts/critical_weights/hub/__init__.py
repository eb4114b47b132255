"""Models and texts of a hub: listed, locked, fetched, checked."""
