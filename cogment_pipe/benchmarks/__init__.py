"""Benchmarks beside the curriculum: nothing that trains a stage imports them."""
