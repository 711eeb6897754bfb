"""Rewrites that recognise what a model spelled out: one file per thing recognised, none keyed on a model."""
