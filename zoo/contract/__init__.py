"""What a backbone is, as data and as behaviour, and the hooks that a plugin implements."""
