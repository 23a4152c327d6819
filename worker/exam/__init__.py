"""From decoded pixels to the network grid, then back to millimetres."""
