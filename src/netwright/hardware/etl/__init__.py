"""From what others publish to rows one may believe: importers, quality rules, names matched under review."""
