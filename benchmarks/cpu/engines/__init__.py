"""One process per engine and weight format, which loads a model and is told over pipes what to measure."""
