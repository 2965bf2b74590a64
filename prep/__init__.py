"""voxprep library: raw recordings to vendor-ready voice samples. Import the part you need; nothing heavy loads here."""

__version__ = "0.1.0"
