"""Networks of users, without a plugin: wrap, measure, and rebuild them when a run is opened."""
