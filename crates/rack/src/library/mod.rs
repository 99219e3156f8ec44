//! Kinds of devices: built in, and read from the YAML of the Device-Type Library.
