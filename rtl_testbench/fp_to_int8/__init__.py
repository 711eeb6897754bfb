"""The converter from float32 to INT8."""
