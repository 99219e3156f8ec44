# A release whose service never gets well.
{ lib, ... }: {
  lichen.healthDeadline = 60;
  systemd.services.climate.serviceConfig = {
    ExecStart = lib.mkForce "/bin/sh -c 'echo error: the sensor is on fire >&2; exit 1'";
    RestartSec = lib.mkForce "5s";
  };
}
