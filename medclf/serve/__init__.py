"""medclf-serve: the runner behind HTTP, with batches formed from whatever waits, and a page for people."""
