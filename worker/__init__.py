"""The worker: what happens to an exam between its headers and its result objects."""
