"""Tables of labelled texts: reading, splitting."""
