"""Fine-tuning with PyTorch; import its modules by name, so that reading a checkpoint never loads torch."""
