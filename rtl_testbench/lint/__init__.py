"""Lint of the RTL: Verilator with every warning on, slang, and whether Icarus takes it."""
