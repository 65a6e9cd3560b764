"""Detection of objects: what they are, and in which box."""
