"""From the graph to the accelerator: programs, memory images, and the folder that a device needs."""
