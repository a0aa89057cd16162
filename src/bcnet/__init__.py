"""BCNet and the methods it is compared with: trained, evaluated and reported under one protocol."""

__version__ = "0.1.0"
