"""The float32 adder."""
