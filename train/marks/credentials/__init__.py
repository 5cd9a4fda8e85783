"""Content credentials (C2PA 2): a signed record in the file of how it was made. Works offline."""
