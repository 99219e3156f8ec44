# A release whose service never gets well.
{ lib, ... }: {
  systemd.services.climate.serviceConfig.ExecStart = lib.mkForce "/bin/sh -c 'echo error: the sensor is on fire >&2; exit 1'";
}
