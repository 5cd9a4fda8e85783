"""A source's identity put on the faces of photos and videos, every result marked as AI-made."""
