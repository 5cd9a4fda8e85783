"""Benchmarks, one script per claim of RESULTS.md: Swapset and the usual alternative on the same photos.

`python -m bench` runs them, `python -m bench.NAME --help` states the protocol of one. To add a benchmark, add its
script and an entry to `BENCHMARKS` or `BY_HAND` in `__main__.py`.
"""
