"""Barriers and the exchange of vector lines between cores."""
