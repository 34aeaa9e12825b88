"""The puzzles of `fit` solved by peers' own classes, which a clone of their repository holds."""
