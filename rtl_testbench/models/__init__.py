"""Python models that several benches share: memories behind AXI ports, digests, random pauses."""
