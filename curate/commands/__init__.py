"""The commands of `curate`: parse options, call the library, print. To add one, write a function and register it in
`curate/application.py`.
"""
