"""Measurements beside their budgets: `make bench`, or `python -m benchmarks [NAME ...]`. Never timed tests."""
