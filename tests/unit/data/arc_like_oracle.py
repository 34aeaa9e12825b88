"""A solver of ARC-like tasks that knows the families of rules and shares no code with them.

For each family it tries every rule that the family can draw, and keeps the answers of those that
explain all demonstrations. One answer in all: the task says what is wanted.
"""

from collections.abc import Callable, Iterator
from itertools import permutations, product

import numpy as np

Guess = Callable[[np.ndarray], np.ndarray | None]
COLOURS = range(1, 10)


def answers(demonstrations, given, families=None) -> dict[str, set]:
    """Family -> distinct answers (shape, bytes) of its rules that fit all demonstrations."""
    found = {}
    for name in families or FAMILIES:
        made = set()
        for guess in FAMILIES[name](demonstrations):
            if all(same(guess(a), b) for a, b in demonstrations):
                out = guess(given)
                if out is not None:
                    made.add(key(out))
        if made:
            found[name] = made
    return found


def key(grid: np.ndarray) -> tuple:
    return grid.shape, grid.astype(np.uint8).tobytes()


def same(a: np.ndarray | None, b: np.ndarray) -> bool:
    return a is not None and a.shape == b.shape and bool((a == b).all())


def recolour(demonstrations) -> Iterator[Guess]:
    names = np.arange(10)
    for a, b in demonstrations:
        if a.shape != b.shape:
            return
        names[a] = b
    yield lambda g: names[g]


def image(demonstrations) -> Iterator[Guess]:
    for k, flip in product(range(4), (False, True)):
        yield lambda g, k=k, flip=flip: np.rot90(g.T if flip else g, k)


def shift(demonstrations) -> Iterator[Guess]:
    for down, right in product(range(-2, 3), repeat=2):

        def guess(g, down=down, right=right):
            rows, columns = np.indices(g.shape)
            return g[(rows - down) % g.shape[0], (columns - right) % g.shape[1]]

        yield guess


def gravity(demonstrations) -> Iterator[Guess]:
    for k in range(4):

        def guess(g, k=k):
            turned = np.rot90(g, k)
            out = np.zeros_like(turned)
            for c in range(turned.shape[1]):
                column = [v for v in turned[:, c] if v]
                out[turned.shape[0] - len(column) :, c] = column
            return np.rot90(out, -k)

        yield guess


def fill_enclosed(demonstrations) -> Iterator[Guess]:
    for frame, inside in permutations(COLOURS, 2):

        def guess(g, frame=frame, inside=inside):
            outside = np.zeros(np.add(g.shape, 2), dtype=bool)
            outside[0] = True
            free = np.pad(g != frame, 1, constant_values=True)
            while True:
                grown = outside.copy()
                grown[1:] |= outside[:-1]
                grown[:-1] |= outside[1:]
                grown[:, 1:] |= outside[:, :-1]
                grown[:, :-1] |= outside[:, 1:]
                grown &= free
                if (grown == outside).all():
                    break
                outside = grown
            shut = (free & ~outside)[1:-1, 1:-1]
            return np.where(shut & (g == 0), inside, g)

        yield guess


def complete_mirror(demonstrations) -> Iterator[Guess]:
    for k in range(4):

        def guess(g, k=k):
            turned = np.rot90(g, k)
            half = turned.shape[0] // 2
            if turned.shape[0] % 2 or turned[half:].any():
                return None
            return np.rot90(np.vstack([turned[:half], turned[:half][::-1]]), -k)

        yield guess


def crop(demonstrations) -> Iterator[Guess]:
    for noise in range(10):

        def guess(g, noise=noise):
            rows, columns = np.nonzero((g != 0) & (g != noise))
            if not len(rows):
                return None
            return g[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]

        yield guess


def count(demonstrations) -> Iterator[Guess]:
    for counted, bar in product(COLOURS, repeat=2):

        def guess(g, counted=counted, bar=bar):
            return np.full((1, (g == counted).sum()), bar)

        yield guess


def extend(demonstrations) -> Iterator[Guess]:
    for k, across in product(range(4), (False, True)):

        def guess(g, k=k, across=across):
            out = np.rot90(g, k).copy()
            for c in range(out.shape[1]):
                (rows,) = np.nonzero(out[:, c])
                if len(rows) > 1:
                    return None
                if len(rows):
                    out[0 if across else rows[0] :, c] = out[rows[0], c]
            return np.rot90(out, -k)

        yield guess


def keep_largest(demonstrations) -> Iterator[Guess]:
    def guess(g):
        left, best = {tuple(p) for p in np.argwhere(g).tolist()}, []
        while left:
            part = [left.pop()]
            for r, c in part:
                for p in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
                    if p in left:
                        left.remove(p)
                        part.append(p)
            best = max(best, part, key=len)
        out = np.zeros_like(g)
        for p in best:
            out[p] = g[p]
        return out

    yield guess


def remove(demonstrations) -> Iterator[Guess]:
    for colour in COLOURS:
        yield lambda g, colour=colour: np.where(g == colour, 0, g)


def scale(demonstrations) -> Iterator[Guess]:
    for factor in (2, 3):
        yield lambda g, factor=factor: np.kron(g, np.ones((factor, factor), dtype=g.dtype))


def tile(demonstrations) -> Iterator[Guess]:
    yield lambda g: np.vstack([g, g])
    yield lambda g: np.hstack([g, g])
    yield lambda g: np.vstack([g, g[::-1]])
    yield lambda g: np.hstack([g, g[:, ::-1]])


def border(demonstrations) -> Iterator[Guess]:
    for colour in COLOURS:

        def guess(g, colour=colour):
            return np.pad(g[1:-1, 1:-1], 1, constant_values=colour)

        yield guess


def connect(demonstrations) -> Iterator[Guess]:
    for ends, line, upright in product(COLOURS, COLOURS, (False, True)):

        def guess(g, ends=ends, line=line, upright=upright):
            out = (g.T if upright else g).copy()
            for row in out:
                (at,) = np.nonzero(row == ends)
                if len(at) == 2:
                    row[at[0] + 1 : at[1]] = line
            return out.T if upright else out

        yield guess


def combine(demonstrations) -> Iterator[Guess]:
    operations = (
        lambda a, b: a & b,
        lambda a, b: a | b,
        lambda a, b: a ^ b,
    )
    for operation, colour in product(operations, COLOURS):

        def guess(g, operation=operation, colour=colour):
            half = g.shape[1] // 2
            if g.shape[1] % 2 == 0 or len(set(g[:, half].tolist())) > 1:
                return None
            return operation(g[:, :half] > 0, g[:, half + 1 :] > 0) * colour

        yield guess


FAMILIES = {
    family.__name__: family
    for family in (
        *(recolour, image, shift, gravity, fill_enclosed, complete_mirror, crop, count),
        *(extend, keep_largest, remove, scale, tile, border, connect, combine),
    )
}
