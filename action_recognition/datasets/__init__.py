"""Readers of public data sets in their own published layouts, and sources of images."""
