"""Features of images learned without labels, from two views of each."""
