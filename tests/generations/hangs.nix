# Userspace that never gets anywhere: something before sysinit.target does not end.
{
  lichen.healthDeadline = 45;
  systemd.services.hang = {
    wantedBy = [ "sysinit.target" ];
    before = [ "sysinit.target" ];
    unitConfig.DefaultDependencies = false;
    serviceConfig = { Type = "oneshot"; ExecStart = "/usr/bin/sleep infinity"; TimeoutStartSec = "infinity"; };
  };
}
