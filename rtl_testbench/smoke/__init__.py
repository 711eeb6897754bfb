"""The tools themselves: a small module builds and runs in each simulator."""
