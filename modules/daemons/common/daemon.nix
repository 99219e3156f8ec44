# Everything that a daemon of Debian's gets from its module, the same for all of them: a user of its own, a unit that
# confines it and brings it back whenever it ends, and a health check that decides about a generation.
#
#   let daemon = import ./common/daemon.nix { inherit lib; }; in
#   config = lib.mkIf cfg.enable (daemon "nginx" { user = "nginx"; health.http = "http://127.0.0.1/"; definition = { … }; });
#
# The unit is the whole unit: Debian's own one of this name is not in the image (`replaced` in image/layers.nix), so that
# nothing of it has to be undone here.
{ lib }:
# user, group: who the daemon runs as; declared here, with the id from the registry. health: see lichen.healthChecks.
# definition: what is special about the unit.
unit: { user, group ? user, health ? { unit = "${unit}.service"; }, definition }: {
  users.users.${user} = { isSystemUser = true; inherit group; };
  users.groups.${group} = { };
  lichen.healthChecks.${unit} = health;

  systemd.services.${unit} = lib.recursiveUpdate {
    wantedBy = [ "multi-user.target" ];
    after = [ "network.target" ];
    startLimitIntervalSec = 0; # nobody is there to start it again
    serviceConfig = import ../../services/common/sandbox.nix // {
      User = user;
      Group = group;
      # It comes back by itself, ever more slowly.
      Restart = "always";
      RestartSec = "1s";
      RestartSteps = 6;
      RestartMaxDelaySec = "60s";
      UMask = "0077";
    };
  } definition;
}
