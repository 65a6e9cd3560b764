"""Distributions of tasks: one loss is searched for many, and judged on tasks of other kinds."""
