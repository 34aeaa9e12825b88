"""Random spanning trees of a square of rooms: the links that a perfect maze opens.

Rooms are numbered row by row; a link is a pair (smaller, larger) of neighbouring rooms.
"""

from __future__ import annotations

from cogment_pipe.data.generators.dice import Dice

Links = set[tuple[int, int]]


def _rooms_beside(room: int, rooms: int) -> list[int]:
    row, column = divmod(room, rooms)
    beside = []
    if row:
        beside.append(room - rooms)
    if column:
        beside.append(room - 1)
    if column < rooms - 1:
        beside.append(room + 1)
    if row < rooms - 1:
        beside.append(room + rooms)
    return beside


def _edge(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _edges(rooms: int) -> list[tuple[int, int]]:
    every = range(rooms * rooms)
    return [(a, b) for a in every for b in _rooms_beside(a, rooms) if a < b]


def depth_first(rooms: int, dice: Dice) -> Links:
    stack = [dice.below(rooms * rooms)]
    seen = set(stack)
    links = set()
    while stack:
        ahead = [b for b in _rooms_beside(stack[-1], rooms) if b not in seen]
        if not ahead:
            stack.pop()
            continue
        room = ahead[dice.below(len(ahead))]
        links.add(_edge(stack[-1], room))
        seen.add(room)
        stack.append(room)
    return links


def prim(rooms: int, dice: Dice) -> Links:
    first = dice.below(rooms * rooms)
    seen = {first}
    frontier = [(first, b) for b in _rooms_beside(first, rooms)]
    links = set()
    while frontier:
        pick = dice.below(len(frontier))
        frontier[pick], frontier[-1] = frontier[-1], frontier[pick]
        a, room = frontier.pop()
        if room in seen:
            continue
        links.add(_edge(a, room))
        seen.add(room)
        frontier += [(room, b) for b in _rooms_beside(room, rooms) if b not in seen]
    return links


def kruskal(rooms: int, dice: Dice) -> Links:
    parent = list(range(rooms * rooms))

    def root(room: int) -> int:
        while parent[room] != room:
            parent[room] = parent[parent[room]]
            room = parent[room]
        return room

    links = set()
    for a, b in dice.shuffle(_edges(rooms)):
        ra, rb = root(a), root(b)
        if ra != rb:
            parent[ra] = rb
            links.add((a, b))
    return links


def wilson(rooms: int, dice: Dice) -> Links:
    """Loop-erased random walks: every spanning tree is equally likely."""
    inside = {dice.below(rooms * rooms)}
    links = set()
    for first in dice.shuffle(list(range(rooms * rooms))):
        after: dict[int, int] = {}
        room = first
        while room not in inside:
            beside = _rooms_beside(room, rooms)
            after[room] = beside[dice.below(len(beside))]
            room = after[room]
        room = first
        while room not in inside:
            inside.add(room)
            links.add(_edge(room, after[room]))
            room = after[room]
    return links


def extra_links(links: Links, rooms: int, share: float, dice: Dice) -> Links:
    """A share of the pairs of neighbouring rooms that are not linked yet."""
    closed = [edge for edge in _edges(rooms) if edge not in links]
    return set(dice.shuffle(closed)[: round(share * len(closed))])


TREES = {"dfs": depth_first, "prim": prim, "kruskal": kruskal, "wilson": wilson}
