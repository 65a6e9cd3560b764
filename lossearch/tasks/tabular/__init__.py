"""Telling the class of a table's rows, where one class is rare."""
