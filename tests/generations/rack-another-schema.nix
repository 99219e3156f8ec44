# A planner that makes other tables of its own, and then fails.
{ lib, ... }: {
  lichen.healthDeadline = 60;
  services.postgresql.schemas.rack = lib.mkForce "2";
  systemd.services.rack.serviceConfig = {
    ExecStart = lib.mkForce "/bin/sh -c '/usr/bin/psql -Xq -d rack -c \"DROP SCHEMA public CASCADE\"; exit 1'";
    RestartSec = lib.mkForce "5s";
  };
}
