# A service that brings its data into another version, and then fails.
{ lib, ... }: {
  lichen.healthDeadline = 60;
  lichen.state.climate.version = lib.mkForce "2";
  systemd.services.climate.serviceConfig = {
    ExecStart = lib.mkForce "/bin/sh -c 'rm -f /var/lib/climate/*; echo newer > /var/lib/climate/climate.db; exit 1'";
    RestartSec = lib.mkForce "5s";
  };
}
