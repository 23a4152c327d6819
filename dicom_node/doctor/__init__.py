"""The doctor: everything looked at once, each finding with its remedy."""
