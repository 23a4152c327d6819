"""How good a bundle is on data whose truth is known."""
