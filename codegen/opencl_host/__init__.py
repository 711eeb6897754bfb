"""A host program in C for OpenCL: generated tables of launches, and the fixed code that runs them."""
