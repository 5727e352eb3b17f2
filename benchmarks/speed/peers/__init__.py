"""What a user would pick instead of zoo: each module is a process that prints one JSON line.

The line has ``accuracy``, of the epoch that is best on the validation split, as zoo gives it;
``passes``, ``trained_on`` and ``validated_on``, how often and on how many samples that was; and
``samples_per_second``, training samples a second of training time, validation left out.
"""
