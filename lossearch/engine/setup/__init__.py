"""What a search was told: its configuration, checked, and the parts that are built from it."""
