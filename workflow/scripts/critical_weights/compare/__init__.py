"""Lists of weights made elsewhere, read and compared."""
