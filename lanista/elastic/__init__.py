"""Model spaces made from models that exist already."""
