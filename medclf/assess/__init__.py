"""A bundle on rows of a table: what it is worth on them, and which words its answers rest on."""
