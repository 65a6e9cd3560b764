"""From graph to torch source to a module on any backend, and to exported files."""
