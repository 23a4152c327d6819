"""How the shipped bundle is made."""
