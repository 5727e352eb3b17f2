"""Training scripts for the other libraries. Each prints its result as one line of JSON.

Keys: ``accuracy``, on the validation split after the best epoch, as in zoo; ``passes``, the number of
epochs; ``trained_on`` and ``validated_on``, numbers of samples; ``samples_per_second``, training throughput,
excluding validation; ``steady``, the same of the last of several epochs; ``waiting``, the share of it that
the loop waits for its dataloader; ``epoch_seconds``, of an epoch with its validation; ``batch_size`` and ``lr``.
"""
