"""Words of a tile stream into steps."""
