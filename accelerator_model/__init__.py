"""The accelerator: its configuration, instruction set, arithmetic, cycle simulator and closed-form model."""
