"""A destination asked whose study it is before results go into it (Study Root C-FIND)."""
