"""Tests of the test bench's memory channel: its timing is the one that the cycle simulator assumes."""
