"""Everything that answers questions with a bundle; never loads torch."""
