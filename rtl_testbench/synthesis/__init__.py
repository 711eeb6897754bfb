"""Yosys: what the RTL costs on UltraScale+."""
