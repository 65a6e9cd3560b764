"""Image classification: the bundled tasks."""
