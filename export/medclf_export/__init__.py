"""From a checkpoint to a bundle: graph, quantization, gates, pipeline."""
