"""What `medclf-bench` measures."""
