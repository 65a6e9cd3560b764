"""Segmentation: a class for every pixel of crops of microscope films."""
