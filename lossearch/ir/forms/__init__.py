"""A graph as text, JSON, LaTeX, SymPy and NetworkX."""
