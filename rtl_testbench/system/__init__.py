"""Whole programs on the RTL, in lockstep with the cycle simulator; and faults that must be reported."""
