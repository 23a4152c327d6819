"""Hostile bytes at everything that reads what a peer sends."""
