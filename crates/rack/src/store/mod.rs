//! PostgreSQL: racks, kinds, devices, users and what they did.
