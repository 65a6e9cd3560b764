"""Metric learning: embeddings in which classes lie apart that no training saw."""
