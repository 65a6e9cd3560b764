"""Estimators of hypergradients, one a file."""
