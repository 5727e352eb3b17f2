"""What a plugin offers beside backbones, one module a kind, used as the commands use it."""
