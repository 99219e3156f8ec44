# What the energy service's options become.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "energy" "cage" "chromium" "curl" "fonts-dejavu-core" "libgl1-mesa-dri" "seatd" "xkb-data" ]
    (name: { type = "derivation"; inherit name; outPath = "/usr"; });
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
  "without a screen there is no browser" = {
    expr = etc { } ? "systemd/system/cage-tty1.service";
    expected = false;
  };
  "the screen waits for the page and counts for nothing when there is none" = {
    expr = lib.filter (l: lib.any (p: lib.hasPrefix p l) [ "After" "Condition" "ExecStartPre" "Restart" "User" ])
      (lib.splitString "\n" (etc { kiosk.enable = true; port = 80; })."systemd/system/cage-tty1.service".text);
    expected = [
      "After=seatd.service systemd-user-sessions.service getty@tty1.service home-energy-dashboard.service"
      "ConditionPathExistsGlob=/dev/dri/card*"
      "ExecStartPre=/usr/bin/curl --silent --show-error --fail --output /dev/null --max-time 5 --retry 1000 --retry-delay 1 --retry-all-errors --retry-max-time 60 http://127.0.0.1:80/api/health"
      "Restart=always" "RestartMaxDelaySec=60s" "RestartMode=direct" "RestartSec=1s" "RestartSteps=6"
      "User=kiosk"
    ];
  };
  "the browser's arguments are the user's, too, and its page is the only one" = {
    expr =
      let
        made = etc { kiosk = { enable = true; browserArguments = [ "--force-dark-mode" ]; }; };
        has = part: lib.hasInfix part made."systemd/system/cage-tty1.service".text;
      in [
        (has "\nExecStart=/usr/bin/cage  -- /usr/bin/energy kiosk http://127.0.0.1:5050/ -- /usr/bin/chromium '--ozone-platform=wayland' ")
        (has " --force-dark-mode 'http://127.0.0.1:5050/?wall'\n")
        (builtins.fromJSON made."chromium/policies/managed/energy.json".text).URLAllowlist
      ];
    expected = [ true true [ "127.0.0.1:5050" ] ];
  };
  "a screen without a page is refused" = {
    expr = lib.length (modules.evalAppliance { inherit pkgs; modules = [{ services.energy.kiosk.enable = true; }]; }).failedAssertions;
    expected = 1;
  };
  "the firewall is opened only if asked" = {
    expr = map (c: (eval c).config.networking.firewall.allowedTCPPorts) [ { } { openFirewall = true; } ];
    expected = [ [ 22 ] [ 22 5050 ] ];
  };
}
