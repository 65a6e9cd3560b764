"""The operator table, one file a kind."""
