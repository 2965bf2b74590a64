"""See CONTRIBUTING.md for how to add one."""
