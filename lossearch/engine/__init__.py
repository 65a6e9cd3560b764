"""Running a search on Ray Tune: islands, resume and the run directory."""
