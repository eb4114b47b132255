"""A model on disk: where it comes from, what it consists of, how it is loaded and read."""
