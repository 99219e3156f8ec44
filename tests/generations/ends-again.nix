# A release whose service starts, and ends soon after, again and again.
{ lib, ... }: {
  systemd.services.climate.serviceConfig = {
    Type = lib.mkForce "exec";
    ExecStart = lib.mkForce "/bin/sh -c 'sleep 3; echo error: the sensor is on fire >&2; exit 1'";
  };
}
