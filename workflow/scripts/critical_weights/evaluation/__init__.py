"""Measuring what a change of weights does to a model's predictions on evaluation texts."""
