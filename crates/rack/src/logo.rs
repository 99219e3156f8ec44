//! Pictures that people upload, decoded within limits and encoded anew.
