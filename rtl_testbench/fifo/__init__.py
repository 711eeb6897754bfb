"""The two FIFOs that everything else is built with."""
