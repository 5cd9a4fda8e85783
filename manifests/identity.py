"""The identity of photos without an identity. Imports nothing."""

NO_IDENTITY = "."
"""`identity` of a photo that its source assigns to no person."""
