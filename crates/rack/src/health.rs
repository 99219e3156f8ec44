//! What `/health` tells of the database, the cache, the disk and the memory.
