"""What torch and torchvision need from the zoo: written tensors, missing operators, workarounds."""
