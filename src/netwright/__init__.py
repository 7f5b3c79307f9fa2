"""netwright carries a neural network through its whole life, and says beforehand what it will do."""

__version__ = "0.1.0"
__all__ = ["__version__"]
