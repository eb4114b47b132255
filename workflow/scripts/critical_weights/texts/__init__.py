"""Calibration and evaluation texts, from files or data sets to token ids."""
