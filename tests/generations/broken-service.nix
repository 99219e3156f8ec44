# A release whose service never gets well.
{ lib, ... }: {
  lichen.healthDeadline = 60;
  systemd.services.climate.serviceConfig = {
    ExecStart = lib.mkForce "/usr/bin/false";
    RestartSec = lib.mkForce "5s";
  };
}
