"""The node: what happens to a study between the modality and the PACS."""
