"""A finished run: its folder, its predictions, its comparison with others, its report."""
