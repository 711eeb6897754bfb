"""The special-function unit with its vector buffer."""
