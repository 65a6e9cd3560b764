"""Several losses as one: weighted sums, balancing during training, and losses for each layer of a network."""
