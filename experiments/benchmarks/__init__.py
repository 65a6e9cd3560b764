"""Benchmarks of speed and overhead, run with `make bench`."""
