"""The report: one HTML file that works offline, from disk."""
