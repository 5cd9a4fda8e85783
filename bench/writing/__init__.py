"""The commands that write files, for `bench.kills`: `commands.py` lists them, `inputs.py` makes what they read.

A command is added by an entry in `commands.py`.
"""
