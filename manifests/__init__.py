"""The contract between `curate` and `simswap`: what a curated dataset holds, and how to read and write it."""
