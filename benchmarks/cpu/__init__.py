"""Measures cosyn and what a user would run instead on this CPU, side by side: `make bench`, docs/cpu.md."""
