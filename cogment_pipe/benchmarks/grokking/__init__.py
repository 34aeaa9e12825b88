"""Delayed generalisation on modular arithmetic: what the gradient filter adds to weight decay."""
