"""The float32 multiplier."""
