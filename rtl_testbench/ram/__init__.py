"""The memory template."""
