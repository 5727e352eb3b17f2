"""The contract of backbones, as data and as behaviour, and the hooks that plugins implement."""
