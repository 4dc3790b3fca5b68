"""Commands: each file parses options, calls one library function and prints."""
