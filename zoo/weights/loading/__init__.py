"""From files of weights to built networks. This folder needs torch."""
