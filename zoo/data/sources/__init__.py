"""Where data lie: folders of files, tables, datasets of the Hub; and which of it is which split."""
