"""Pages, diagram and their rules."""
