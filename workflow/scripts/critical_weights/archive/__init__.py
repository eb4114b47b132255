"""The archive: built, checked, compared, unpacked."""
