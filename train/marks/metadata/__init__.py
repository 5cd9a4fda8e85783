"""AIGC metadata of GB 45438-2025: in the XMP of photos, and in the container metadata of videos."""
