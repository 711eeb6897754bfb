"""The token counters between the six classes."""
