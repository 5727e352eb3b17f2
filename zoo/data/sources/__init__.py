"""Where data lie: folders of files, tables, data sets of the Hub; and which of it is which split."""
