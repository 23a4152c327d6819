"""Nouns of the node as plain values: no socket, no SQL, no disk, no clock, no dice."""
