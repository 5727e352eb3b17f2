"""Which plugins there are, what they publish, and which backbone a name means. No torch."""
