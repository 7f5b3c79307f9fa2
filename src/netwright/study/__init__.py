"""Many candidates, one front, one report."""
