"""The queue of one class."""
