"""The cell alphabet."""

import numpy as np

from cogment_pipe.data import symbols


def test_symbols_are_distinct_and_below_the_alphabet_size():
    """Guards: no two meanings share a symbol, and every symbol fits the model's embedding."""
    singles = [
        getattr(symbols, name)
        for name in (
            *(["PAD", "BLANK", "OUT", "WALL", "OPEN", "START", "GOAL", "PATH"]),
            *(["OP_MIN", "OP_MAX", "OP_MED", "OP_SM", "CLOSE", "QUERY", "SEP", "EQUALS"]),
        )
    ]
    every = singles + [symbols.digit(d) for d in range(10)]
    assert len(set(every)) == len(every) == 26
    assert min(every) == symbols.PAD == 0
    assert max(every) == 25 < symbols.N_SYMBOLS == 64


def test_digits_are_recognised():
    """Guards: is_digit is true for digits 0..9 and nothing else."""
    every = np.arange(64)
    assert every[symbols.is_digit(every)].tolist() == list(range(1, 11))


def test_render_prints_rows():
    """Guards: a grid prints as one line a row, with words set apart."""
    assert symbols.render(np.array([[13, 15], [14, 16]])) == "#S\n G"
    assert symbols.render(np.array([[23, 18, 3, 22]])) == "? [MIN 2 ]"
