"""What `medclf-bench` measures: every way to run a model, on the same texts, in the same minutes."""
