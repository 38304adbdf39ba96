"""Maps trained by maximum mean discrepancy."""
