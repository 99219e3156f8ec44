# A release with a service that takes all of DATA, to the last block, and then fails.
{
  lichen.healthDeadline = 60;
  systemd.services.fill = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig.Type = "oneshot";
    script = "fallocate -l $(df --output=avail -B1 /var | tail -1) /var/fill; cat /dev/zero >> /var/fill";
  };
}
