"""The publication held against its own figures, the models' configurations and the runs at hand."""
