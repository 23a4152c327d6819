"""Whose study it is: by the header that a result carries, and by the destination's own answer."""
