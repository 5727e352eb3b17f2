"""Every classifier of torchvision as a backbone.

``plugin`` holds the hooks and reads ``catalogue.json``; ``catalogue`` makes that file from
torchvision's own enums. ``resnet``, ``vgg``, ``convolutional``, ``inception`` and ``attention``
hold the loaders, one file a group of families, with the head's place and the stages as tables.
"""
