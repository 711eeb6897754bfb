"""LD: what reaches rings and vector buffer, when, and in which order."""
