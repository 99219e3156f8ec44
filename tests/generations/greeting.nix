# Another configuration, a new unit, a layer more; nothing that ssh or climate would have to be restarted for.
{ pkgs, ... }: {
  environment.systemPackages = [ pkgs.htop ];
  environment.etc."motd".text = "the new generation\n";
  systemd.services.greeting = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
    script = "echo hello";
  };
}
