# Another configuration, and a new unit; nothing that ssh or climate would have to be restarted for.
{
  environment.etc."motd".text = "the new generation\n";
  systemd.services.greeting = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
    script = "echo hello";
  };
}
