"""The identity of photos that belong to no identity. Imports nothing."""

NO_IDENTITY = "."
"""`identity` of a photo that its source assigns to no person."""
