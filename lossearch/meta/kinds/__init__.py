"""Kinds of learned losses: each turns a structure into an ordinary graph whose tunable parameters are learned."""
