"""The commands of genlib, a file each."""
