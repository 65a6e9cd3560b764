"""Training networks with losses, many runs at once."""
