"""The commands of `simswap`: parse options, call the library, print. To add one, write a function and register it in
`train/application.py`.
"""
