"""Rings of weight words."""
