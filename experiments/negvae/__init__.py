"""Negative-sampling variational autoencoders."""
