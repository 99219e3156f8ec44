//! A rack as a file: SVG, PNG, PDF, YAML, CSV.
