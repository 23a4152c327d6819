"""Faults at seeded moments against a real node, and an auditor that looks for what was lost."""
