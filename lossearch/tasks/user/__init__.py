"""A user's own training function as a task."""
