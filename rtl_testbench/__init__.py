"""The RTL of the accelerator and everything that checks it: block tests, system test, lint and synthesis."""
