"""Process replay: whether a change leaves the generated code of a fixed list of examples as it was."""
