"""The host's side of the accelerator: what rings its doorbell, whatever lies behind it."""
