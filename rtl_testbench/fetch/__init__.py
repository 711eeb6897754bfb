"""Instruction fetch: what is dispatched, and what is refused."""
