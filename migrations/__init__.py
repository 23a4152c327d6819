"""Schema revisions; each one must run under the code before it."""
