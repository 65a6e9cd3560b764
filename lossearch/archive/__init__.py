"""What searches keep: the archive of candidates and evaluations, their ranking, and the run directory."""
