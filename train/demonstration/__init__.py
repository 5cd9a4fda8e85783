"""The demonstration: a generator of a few people that ships with the package, and `simswap demo`, which shows it.

In: nothing. Out: a page with photos that ship with the dependencies, their swaps, and the marks of these. The weights
and their card are in `train/weights/`.
"""
