"""Proof by intervention: which weights are changed how, the damage, the verdict."""
