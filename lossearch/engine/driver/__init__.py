"""The process that starts a search on Ray, watches it and reads its result."""
