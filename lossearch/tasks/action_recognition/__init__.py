"""Recognising actions in recordings of motion sensors."""
