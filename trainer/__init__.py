"""Data, training and evaluation of Chisel models."""
