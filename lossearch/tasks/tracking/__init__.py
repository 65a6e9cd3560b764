"""Tracking: finding a nucleus of one frame again in another."""
