"""Readers of upstream files, one module per layout."""
