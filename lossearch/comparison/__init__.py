"""Losses compared on held-out data: tuning, paired trainings, statistics, and the table."""
