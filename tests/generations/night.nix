# It looks for updates at noon, takes them by night, and reboots for none of them.
{
  imports = [ ./follows.nix ];
  services.lichen.autoUpdate = {
    dates = "12:00";
    randomizedDelaySec = "0";
    window = { from = "03:00"; to = "03:02"; };
    rebootAllowed = false;
  };
}
