"""The chapter: one text with its tables, figures, listings and sources, as Word, LaTeX and HTML."""
