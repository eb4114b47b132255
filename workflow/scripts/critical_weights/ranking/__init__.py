"""Which weights a score store, a mode and a k select, and what is said of the selection."""
