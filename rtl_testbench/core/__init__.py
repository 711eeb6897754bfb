"""The whole accelerator under its control registers: small programs, and every fault."""
