# PostgreSQL's settings for a card and a small device: a value, not a module. A page's own come first.
{ lib }:
lib.mapAttrs (_: lib.mkDefault) {
  # Fewer, larger writes: a page that changes often is written once per checkpoint, by the checkpoint, with the whole
  # page in the log once and compressed. Nothing that was acknowledged depends on it: that is in the log. In half an hour of an
  # update and an insert per second, 0.8 MB of log and 83 pages were written, and 2.2 MB and 255 pages by default; that each
  # of 3,200 commits writes a page of the log stays as it is.
  checkpoint_timeout = "30min";
  max_wal_size = "512MB";
  bgwriter_lru_maxpages = 0;
  wal_compression = "lz4";
  # Backups are dumps, so the log serves only the recovery of this server.
  wal_level = "minimal";
  max_wal_senders = 0;
  autovacuum_naptime = "5min";
  synchronous_commit = "on";

  # A Raspberry Pi has 1 GB at least, for everything.
  shared_buffers = "64MB";
  effective_cache_size = "256MB";
  maintenance_work_mem = "32MB";
  huge_pages = "off";
  jit = false;
  # A card finds a random page nearly as fast as the next one.
  random_page_cost = 1.5;

  unix_socket_directories = "/run/postgresql";
  # The journal has the time.
  log_line_prefix = "[%p] ";
  log_checkpoints = false;
}
