"""Families of rules for ARC-like tasks.

A family draws the parameters of one rule and returns a function that draws pairs (input, output)
under that rule; grids are (h, w) uint8 colours with 0 as the background.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cogment_pipe.data.arc_task import Pair, turn

Rng = np.random.Generator
Rule = Callable[[Rng], Pair]


def _size(rng: Rng, low: int, high: int) -> tuple[int, int]:
    h, w = rng.integers(low, high + 1, size=2)
    return int(h), int(w)


def _colours(rng: Rng, n: int) -> list[int]:
    return (rng.permutation(9)[:n] + 1).tolist()


def _sparse(rng: Rng, shape: tuple[int, int], colours: list[int], share: float) -> np.ndarray:
    grid = np.where(rng.random(shape) < share, rng.choice(colours, size=shape), 0)
    return grid.astype(np.uint8)


def _zeros(shape: tuple[int, int]) -> np.ndarray:
    return np.zeros(shape, dtype=np.uint8)


def recolour(rng: Rng, side: int) -> Rule:
    """Colours are exchanged by a mapping; every pair shows all of it."""
    old = _colours(rng, int(rng.integers(2, 5)))
    new = np.arange(10, dtype=np.uint8)
    new[old] = np.roll(old, 1) if rng.random() < 0.5 else _colours(rng, len(old))

    def draw(rng: Rng) -> Pair:
        grid = _sparse(rng, _size(rng, 3, side), old, 0.7)
        cells = rng.permutation(grid.size)[: len(old)]
        grid.ravel()[cells] = old
        return grid, new[grid]

    return draw


def image(rng: Rng, side: int) -> Rule:
    """The whole grid is turned, flipped or transposed."""
    number = int(rng.integers(1, 8))
    palette = _colours(rng, 4)

    def draw(rng: Rng) -> Pair:
        grid = _sparse(rng, _size(rng, 3, side), palette, 0.5)
        return grid, np.ascontiguousarray(turn(grid, number))

    return draw


def shift(rng: Rng, side: int) -> Rule:
    """Everything moves by the same step, around the edges."""
    step = tuple(int(s) for s in rng.integers(-2, 3, size=2))
    step = step if any(step) else (1, 0)
    palette = _colours(rng, 3)

    def draw(rng: Rng) -> Pair:
        # From side 5 on, no two steps are the same move.
        grid = _sparse(rng, _size(rng, 5, side), palette, 0.25)
        return grid, np.roll(grid, step, axis=(0, 1))

    return draw


def gravity(rng: Rng, side: int) -> Rule:
    """Cells fall to one edge and keep their order."""
    number = int(rng.integers(4))
    palette = _colours(rng, 3)

    def draw(rng: Rng) -> Pair:
        grid = _sparse(rng, _size(rng, 3, side), palette, 0.3)
        turned = np.rot90(grid, number)
        order = np.argsort(turned > 0, axis=0, kind="stable")
        fallen = np.take_along_axis(turned, order, axis=0)
        return grid, np.ascontiguousarray(np.rot90(fallen, -number))

    return draw


def _rectangle(rng: Rng, shape: tuple[int, int], low: int, high: int) -> tuple[slice, slice]:
    h = int(rng.integers(low, max(low, min(high, shape[0])) + 1))
    w = int(rng.integers(low, max(low, min(high, shape[1])) + 1))
    r = int(rng.integers(shape[0] - h + 1))
    c = int(rng.integers(shape[1] - w + 1))
    return slice(r, r + h), slice(c, c + w)


def fill_enclosed(rng: Rng, side: int) -> Rule:
    """The inside of a closed frame is filled."""
    frame, inside, noise = _colours(rng, 3)

    def draw(rng: Rng) -> Pair:
        grid = _sparse(rng, _size(rng, 5, side), [noise], 0.1)
        rows, columns = _rectangle(rng, grid.shape, 3, 6)
        grid[rows, columns] = frame
        inner = (slice(rows.start + 1, rows.stop - 1), slice(columns.start + 1, columns.stop - 1))
        grid[inner] = 0
        out = grid.copy()
        out[inner] = inside
        return grid, out

    return draw


def complete_mirror(rng: Rng, side: int) -> Rule:
    """The empty half of a grid is filled with the mirror image of the other half."""
    number = int(rng.integers(4))
    palette = _colours(rng, 3)

    def draw(rng: Rng) -> Pair:
        h, w = _size(rng, 3, side)
        h -= (h % 2) * (number % 2)
        w -= (w % 2) * (1 - number % 2)
        left = (h // 2, w) if number % 2 else (h, w // 2)
        half = _sparse(rng, left, palette, 0.5)
        axis = 1 - number % 2
        parts = [half, np.flip(half, axis)]
        empty = [half, np.zeros_like(half)]
        if number >= 2:
            parts, empty = parts[::-1], empty[::-1]
        return np.concatenate(empty, axis), np.concatenate(parts, axis)

    return draw


def crop(rng: Rng, side: int) -> Rule:
    """The one object is cut out; single cells of a noise colour are not part of it."""
    palette = _colours(rng, 4)
    noise = palette.pop()

    def draw(rng: Rng) -> Pair:
        grid = _sparse(rng, _size(rng, 5, side), [noise], 0.1)
        rows, columns = _rectangle(rng, grid.shape, 2, 5)
        shape = grid[rows, columns].shape
        grid[rows, columns] = rng.choice(palette, size=shape)
        return grid, grid[rows, columns].copy()

    return draw


def count(rng: Rng, side: int) -> Rule:
    """As many cells in a bar as there are cells of one colour."""
    counted, other, bar = _colours(rng, 3)

    def draw(rng: Rng) -> Pair:
        grid = _sparse(rng, _size(rng, 3, side), [other], 0.2)
        n = int(rng.integers(1, min(side, 7) + 1))
        grid.ravel()[rng.permutation(grid.size)[:n]] = counted
        return grid, np.full((1, n), bar, dtype=np.uint8)

    return draw


def extend(rng: Rng, side: int) -> Rule:
    """Single cells grow to a line, up to one edge or across the grid."""
    number = int(rng.integers(4))
    across = bool(rng.random() < 0.3)
    palette = _colours(rng, 3)

    def draw(rng: Rng) -> Pair:
        h, w = _size(rng, 4, side)
        turned = _zeros((h, w))
        columns = rng.permutation(w)[: int(rng.integers(1, min(4, w) + 1))]
        out = turned.copy()
        for column in columns:
            row, colour = int(rng.integers(h)), int(rng.choice(palette))
            turned[row, column] = colour
            out[0 if across else row :, column] = colour
        return np.rot90(turned, number).copy(), np.rot90(out, number).copy()

    return draw


def keep_largest(rng: Rng, side: int) -> Rule:
    """Of several rectangles, only the one with the most cells stays."""
    palette = _colours(rng, 4)

    def draw(rng: Rng) -> Pair:
        shape = _size(rng, 6, side)
        grid, taken = _zeros(shape), np.zeros(shape, dtype=bool)
        placed: dict[int, tuple[slice, slice]] = {}  # by number of cells
        for _ in range(8):
            rows, columns = _rectangle(rng, shape, 1, 4)
            area = grid[rows, columns].size
            near = taken[
                max(0, rows.start - 1) : rows.stop + 1,
                max(0, columns.start - 1) : columns.stop + 1,
            ]
            if near.any() or area in placed:
                continue
            placed[area], taken[rows, columns] = (rows, columns), True
        sizes = sorted(placed)
        colours = rng.choice(palette, size=len(sizes))
        # One that goes has the colour of the one that stays: colours alone must not explain a pair.
        colours[int(rng.integers(max(1, len(sizes) - 1)))] = colours[-1]
        for area, colour in zip(sizes, colours, strict=True):
            grid[placed[area]] = colour
        out = _zeros(shape)
        out[placed[sizes[-1]]] = colours[-1]
        return grid, out

    return draw


def remove(rng: Rng, side: int) -> Rule:
    """All cells of one colour go."""
    gone, *rest = _colours(rng, 4)

    def draw(rng: Rng) -> Pair:
        grid = _sparse(rng, _size(rng, 3, side), [gone, *rest], 0.5)
        return grid, np.where(grid == gone, 0, grid).astype(np.uint8)

    return draw


def scale(rng: Rng, side: int) -> Rule:
    """Every cell becomes a square of cells."""
    factor = int(rng.integers(2, max(2, min(3, side // 3)) + 1))
    palette = _colours(rng, 3)

    def draw(rng: Rng) -> Pair:
        grid = _sparse(rng, _size(rng, 2, side // factor), palette, 0.6)
        return grid, grid.repeat(factor, axis=0).repeat(factor, axis=1)

    return draw


def tile(rng: Rng, side: int) -> Rule:
    """The grid is laid out twice, side by side or on top, the second perhaps mirrored."""
    axis, mirrored = int(rng.integers(2)), bool(rng.integers(2))
    palette = _colours(rng, 3)

    def draw(rng: Rng) -> Pair:
        grid = _sparse(rng, _size(rng, 2, side // 2), palette, 0.6)
        second = np.flip(grid, axis) if mirrored else grid
        return grid, np.concatenate([grid, second], axis)

    return draw


def border(rng: Rng, side: int) -> Rule:
    """A frame is drawn along the edge of the grid."""
    colour, *palette = _colours(rng, 4)

    def draw(rng: Rng) -> Pair:
        grid = _sparse(rng, _size(rng, 3, side), palette, 0.3)
        out = grid.copy()
        out[[0, -1]] = colour
        out[:, [0, -1]] = colour
        return grid, out

    return draw


def connect(rng: Rng, side: int) -> Rule:
    """Two cells of a colour in one line are joined."""
    ends, line = _colours(rng, 2)
    upright = bool(rng.integers(2))

    def draw(rng: Rng) -> Pair:
        shape = _size(rng, 4, side)
        grid = _zeros(shape)
        out = grid.copy()
        for row in rng.permutation(shape[0])[: int(rng.integers(1, 4))]:
            a, b = sorted(rng.permutation(shape[1])[:2].tolist())
            out[row, a : b + 1] = line
            grid[row, [a, b]] = out[row, [a, b]] = ends
        return (grid.T.copy(), out.T.copy()) if upright else (grid, out)

    return draw


def combine(rng: Rng, side: int) -> Rule:
    """Two halves beside a dividing line are combined cell by cell: and, or, exclusive or."""
    first, second, line, result = _colours(rng, 4)
    operation = [np.logical_and, np.logical_or, np.logical_xor][int(rng.integers(3))]

    def draw(rng: Rng) -> Pair:
        h, w = int(rng.integers(2, side + 1)), int(rng.integers(2, (side - 1) // 2 + 1))
        a, b = rng.random((2, h, w)) < 0.5
        middle = np.full((h, 1), line)
        grid = np.concatenate([a * first, middle, b * second], axis=1)
        return grid.astype(np.uint8), (operation(a, b) * result).astype(np.uint8)

    return draw


FAMILIES = {
    family.__name__: family
    for family in (
        recolour,
        image,
        shift,
        gravity,
        fill_enclosed,
        complete_mirror,
        crop,
        count,
        extend,
        keep_largest,
        remove,
        scale,
        tile,
        border,
        connect,
        combine,
    )
}
