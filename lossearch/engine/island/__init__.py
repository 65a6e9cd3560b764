"""One population and the loop that evolves it."""
