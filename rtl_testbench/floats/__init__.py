"""What the benches of the float units share: operands that hurt, and a pipeline driver."""
