"""What islands report: their messages, and the one process that writes the archive."""
