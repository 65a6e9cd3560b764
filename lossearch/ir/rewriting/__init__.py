"""Graphs into other graphs that mean the same: rules, lowering, and the checks that hold them."""
