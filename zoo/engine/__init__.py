"""The engine: recipes, strategies, the feature cache, and the loop that trains any backbone."""
