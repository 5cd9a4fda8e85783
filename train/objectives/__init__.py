"""Objectives: losses of the generator and of the discriminator for one batch, as in the papers.

A file for each kind of generator, and `build.py`, which chooses by the recipe; `objective.py` is the interface, and
`adversary.py` the discriminator's side, which all share. `a` is the mask's weight (train/mask_schedule.py).
"""
