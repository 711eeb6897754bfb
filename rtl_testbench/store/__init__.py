"""ST: which bytes of memory change, in four modes."""
