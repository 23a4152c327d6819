"""A trial of the whole path on one machine, with synthetic images."""
