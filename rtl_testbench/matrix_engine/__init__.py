"""The matrix engine: MM and MV against the meaning of the instructions, and their timing."""
