"""Predictions past one machine."""
