"""Where data rests: files in the archive, facts in the ledger."""
