# What the energy service's options become.
{ lib, modules }:
let
  pkgs = { lichenctl.outPath = "/usr"; energy.outPath = "/usr"; };
  eval = energy: modules.evalAppliance {
    inherit pkgs;
    modules = [{ _file = "appliances/x.nix"; services.energy = { enable = true; } // energy; }];
  };
  etc = energy: (eval energy).config.environment.etc;
  json = energy: builtins.fromJSON (etc energy)."energy/config.json".text;
  unit = name: lib.splitString "\n" (etc { })."systemd/system/${name}".text;
in
{
  "the service's own defaults are said in its own words" = {
    expr = json { };
    expected = {
      http.port = 5050;
      simulate = false;
      amber = { url = "https://api.amber.com.au/v1"; site_id = null; };
      cache.retention_days = 730;
      display.time_zone = null;
    };
  };
  "anything else goes through settings" = {
    expr = (json { settings.amber.resolution = 30; }).amber;
    expected = { url = "https://api.amber.com.au/v1"; site_id = null; resolution = 30; };
  };
  "its units have the names that their owners know" = {
    expr = map (name: etc { } ? "systemd/system/${name}")
      [ "home-energy-dashboard.service" "home-energy-sync-cache.service" "home-energy-sync-cache.timer" ];
    expected = [ true true true ];
  };
  "its cache is protected, with the commands that it has for that" = {
    expr = builtins.fromJSON (etc { })."lichen/state.json".text;
    expected.home-energy-dashboard = {
      version = "1";
      directory = "/var/lib/home-energy-analysis";
      user = "energy";
      backup = "/usr/bin/energy backup -";
      restore = "/usr/bin/energy restore --state-directory \"$DIRECTORY\" /dev/stdin";
    };
  };
  "both programs have the token, and neither any device" = {
    expr = map (name: lib.filter (l: lib.hasPrefix "Device" l || lib.hasPrefix "ImportCredential" l || lib.hasPrefix "ExecStart" l) (unit name))
      [ "home-energy-dashboard.service" "home-energy-sync-cache.service" ];
    expected = [
      [ "DevicePolicy=closed" "ExecStart=/usr/bin/energy dashboard" "ImportCredential=energy.*" ]
      [ "DevicePolicy=closed" "ExecStart=/usr/bin/energy sync" "ImportCredential=energy.*" ]
    ];
  };
  "an Amber that is out of reach is no failure of the device" = {
    expr = lib.elem "SuccessExitStatus=75" (unit "home-energy-sync-cache.service");
    expected = true;
  };
  "the timer spreads, and catches up" = {
    expr = lib.filter (l: l == "Persistent=true" || lib.hasPrefix "RandomizedDelaySec" l || lib.hasPrefix "OnCalendar" l) (unit "home-energy-sync-cache.timer");
    expected = [ "OnCalendar=*:0/5" "Persistent=true" "RandomizedDelaySec=45s" ];
  };
  "simulated, it asks nobody" = {
    expr = etc { simulate = true; } ? "systemd/system/home-energy-sync-cache.timer";
    expected = false;
  };
  "the firewall is opened only if asked" = {
    expr = map (c: (eval c).config.networking.firewall.allowedTCPPorts) [ { } { openFirewall = true; } ];
    expected = [ [ 22 ] [ 22 5050 ] ];
  };
}
