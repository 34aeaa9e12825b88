"""Closed word lists of the text generators.

Words are short and shared between tasks so that a vocabulary of about a thousand tokens holds most
of them whole.
"""

from __future__ import annotations

HE = ("Tom", "Ben", "Sam", "Max", "Leo", "Dan", "Jim", "Ned", "Raj", "Ali", "Kai", "Hal")
SHE = ("Ann", "Eva", "Mia", "Sue", "Ida", "Kim", "Amy", "Zoe", "Liz", "Pam", "Una", "Fay")
NAMES = HE + SHE

ITEMS = (
    "pens", "cups", "hats", "cards", "nuts", "eggs", "keys", "coins", "books", "balls", "caps",
    "bags", "figs", "pins", "toys", "shells",
)  # fmt: skip

WORKS = (
    "Orbit", "Delta", "Comet", "Nova", "Raven", "Storm", "Tango", "Vega", "Onyx", "Cobra", "Ember",
    "Lotus", "Atlas", "Pearl", "Terra", "Zenit", "Argo", "Titan", "Sigma", "Omega", "Falcon",
    "Coral", "Lunar", "Indigo",
)  # fmt: skip

CITIES = (
    "Oslo", "Rome", "Paris", "Lima", "Cairo", "Bern", "Delhi", "Tokyo", "Riga", "Quito", "Seoul",
    "Doha", "Minsk", "Accra", "Porto", "Kyiv",
)  # fmt: skip

JOBS = (
    "baker", "judge", "nurse", "pilot", "tailor", "driver", "clerk", "miner", "poet", "cook",
    "guard", "diver", "farmer", "singer", "painter", "dentist",
)  # fmt: skip

PETS = (
    "dog", "cat", "horse", "goat", "crow", "mouse", "snail", "duck", "pig", "wren", "frog", "hen",
    "sheep", "fox", "crab", "swan",
)  # fmt: skip

KEYS = (
    "amber", "azure", "bronze", "copper", "ivory", "jade", "lilac", "maroon", "olive", "pink",
    "red", "ruby", "silver", "teal", "violet", "white", "black", "blue", "brown", "cyan", "gold",
    "green", "grey", "lime",
)  # fmt: skip

VALUES = (
    "apple", "arrow", "bell", "boat", "bread", "brick", "chair", "clock", "cloud", "drum", "fish",
    "flag", "fork", "glass", "hill", "horn", "lamp", "leaf", "lock", "moon", "nail", "pipe", "plum",
    "ring", "rope", "salt", "ship", "stone", "tent", "tree", "wheel", "wolf",
)  # fmt: skip

SUBJECTS = ("sky", "sea", "road", "town", "wind", "rain", "snow", "river")
STATES = ("calm", "long", "cold", "dark", "warm", "old", "loud", "soft")
TIMES = ("today", "again", "now", "here", "still", "there", "always", "then")
