"""All torchvision classification models as backbones.

``plugin`` implements the hooks and reads ``catalogue.json``, which ``catalogue`` generates from
torchvision's weight enums. ``resnet``, ``vgg``, ``convolutional``, ``inception`` and ``attention``
contain the loaders, one module per group of families; tables state the path of each head and the
stages.
"""
