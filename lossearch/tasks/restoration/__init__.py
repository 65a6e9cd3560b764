"""Restoration: images made anew from degraded ones."""
