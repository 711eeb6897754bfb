"""The vector buffer and its arbitration."""
