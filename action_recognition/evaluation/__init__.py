"""Scores of models against the truth."""
