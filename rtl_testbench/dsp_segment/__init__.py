"""DSPs in cascade, two dot products in one register."""
