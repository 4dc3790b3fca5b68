"""What is wrong with a table of labelled texts, found before anything is trained on it."""
