"""The special functions."""
