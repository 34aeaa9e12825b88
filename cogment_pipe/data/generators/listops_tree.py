"""ListOps expressions: trees, their symbols, their values, and orders of commuting arguments."""

from __future__ import annotations

from cogment_pipe.data.generators.dice import Dice
from cogment_pipe.data.symbols import CLOSE, DIGIT0, OP_MAX, OP_MED, OP_MIN, OP_SM

OPERATORS = {"MIN": OP_MIN, "MAX": OP_MAX, "MED": OP_MED, "SM": OP_SM}
MASK = (1 << 64) - 1

Tree = int | tuple[int, list["Tree"]]  # a digit, or (operator symbol, arguments)


def value(tree: Tree) -> int:
    """The answer, 0..9."""
    if isinstance(tree, int):
        return tree
    operator, arguments = tree
    return apply(operator, [value(argument) for argument in arguments])


def trace(tree: Tree) -> list[int]:
    """What each symbol of `linear(tree)` stands for on the way to the answer.

    An operator has the value of its expression; the last symbol of an argument the value of its
    parent's operator over the arguments so far; the whole expression's bracket the answer.
    """
    if isinstance(tree, int):
        return [tree]
    operator, arguments = tree
    values: list[int] = []
    marks: list[int] = []
    for argument in arguments:
        values.append(value(argument))
        marks += [*trace(argument)[:-1], apply(operator, values)]
    return [value(tree), *marks, value(tree)]


def apply(operator: int, values: list[int]) -> int:
    """An operator's value over digits."""
    values = sorted(values)
    if operator == OP_MIN:
        return values[0]
    if operator == OP_MAX:
        return values[-1]
    if operator == OP_SM:
        return sum(values) % 10
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) // 2


def length(tree: Tree) -> int:
    """Symbols of the expression, closing brackets included."""
    return 1 if isinstance(tree, int) else 2 + sum(length(argument) for argument in tree[1])


def depth(tree: Tree) -> int:
    """Operators nested in one another; a digit has none."""
    return 0 if isinstance(tree, int) else 1 + max(depth(argument) for argument in tree[1])


def linear(tree: Tree) -> list[int]:
    """The expression's symbols in order."""
    if isinstance(tree, int):
        return [DIGIT0 + tree]
    operator, arguments = tree
    return [operator, *(s for argument in arguments for s in linear(argument)), CLOSE]


def parse(symbols: list[int]) -> Tree:
    """The tree of an expression's symbols. Raises ValueError when they are not one expression."""
    stack: list[tuple[int, list[Tree]]] = []
    done: Tree | None = None
    for place, symbol in enumerate(symbols):
        if done is not None:
            raise ValueError(f"symbol {place + 1}: something follows the end of the expression")
        node: Tree | None = None
        if symbol in OPERATORS.values():
            stack.append((symbol, []))
        elif DIGIT0 <= symbol < DIGIT0 + 10:
            node = symbol - DIGIT0
        elif symbol == CLOSE and stack and stack[-1][1]:
            node = stack.pop()
        else:
            raise ValueError(f"symbol {place + 1}: unexpected in an expression")
        if node is not None:
            if stack:
                stack[-1][1].append(node)
            else:
                done = node
    if done is None:
        raise ValueError("the expression is not closed")
    return done


def canonical_hash(tree: Tree) -> int:
    """64-bit hash that does not depend on the order of any operator's arguments."""
    if isinstance(tree, int):
        return _scramble(tree + 1)
    operator, arguments = tree
    total = sum(canonical_hash(argument) for argument in arguments) & MASK
    return _scramble((total + operator * 0x9E3779B97F4A7C15 + len(arguments)) & MASK)


def _scramble(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) & MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def shuffled_order(symbols: list[int], dice: Dice) -> list[int]:
    """A new order of an expression's positions, each operator's arguments permuted.

    MIN, MAX, MED and SM all commute, so the value stays the same.
    """
    stack: list[tuple[int, list[list[int]]]] = []
    done: list[int] = []
    for place, symbol in enumerate(symbols):
        if symbol in OPERATORS.values():
            stack.append((place, []))
            continue
        span = [place]
        if symbol == CLOSE:
            first, parts = stack.pop()
            span = [first, *(p for part in dice.shuffle(parts) for p in part), place]
        if stack:
            stack[-1][1].append(span)
        else:
            done = span
    return done
