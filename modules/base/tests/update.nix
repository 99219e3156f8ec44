# The units for following a channel, and the settings they require.
{ lib, modules }:
let
  key = "fleet-1:h8wGnPKYdfLnYoVFzEcwT3kWnC4EzWnWcnSx2sFrKcw=";
  eval = keys: autoUpdate: modules.evalAppliance {
    pkgs.lichenctl.outPath = "/usr";
    modules = [{
      _file = "appliances/x.nix";
      nix.settings = keys;
      services.lichen.autoUpdate = { enable = true; url = "https://updates.example.org"; } // autoUpdate;
    }];
  };
  trusting = eval { trusted-public-keys = [ key ]; };
  etc = autoUpdate: (trusting autoUpdate).config.environment.etc;
  failed = evaluated: map (a: a.message) evaluated.failedAssertions;
  lines = what: text: lib.filter (lib.hasPrefix what) (lib.splitString "\n" text);
  night = { window = { from = "22:30"; to = "04:09"; }; };
in
{
  "it is what lichenctl reads" = {
    expr = map (a: builtins.fromJSON (etc a)."lichen/update.json".text) [ { } (night // { channel = "beta"; rebootAllowed = false; }) ];
    expected = [
      { url = "https://updates.example.org"; channel = "stable"; window = null; reboot = true; }
      { url = "https://updates.example.org"; channel = "beta"; window = { from = "22:30"; to = "04:09"; }; reboot = false; }
    ];
  };
  "a timer makes up for what it missed, and devices don't come all at once" = {
    expr = (etc { dates = [ "Mon" "Fri" ]; })."systemd/system/lichenctl-update.timer".text;
    expected = "[Unit]\nDescription=Look for updates\n\n[Timer]\nOnCalendar=Mon\nOnCalendar=Fri\nPersistent=true\nRandomizedDelaySec=1h\n";
  };
  "when the window opens, what was staged is switched to, in its first half" = {
    expr = lib.concatMap (what: lines what (etc night)."systemd/system/lichenctl-update-window.timer".text) [ "OnCalendar" "Randomized" "Unit" ];
    expected = [ "OnCalendar=*-*-* 22:30:00" "RandomizedDelaySec=169min" "Unit=lichenctl-update.service" ];
  };
  "without a window there is no timer for it" = { expr = (etc { }) ? "systemd/system/lichenctl-update-window.timer"; expected = false; };
  "a switch neither restarts nor stops what carries it out, and no update is a failed unit" = {
    expr = lib.concatMap (what: lines what (etc { })."systemd/system/lichenctl-update.service".text) [ "X-" "Success" ];
    expected = [ "X-StopOnRemoval=false" "X-RestartIfChanged=false" "SuccessExitStatus=1 4" ];
  };
  "an unsigned channel is impossible" = {
    expr = map failed [ (eval { } { }) (eval { trusted-public-keys = [ key ]; require-sigs = false; } { }) ];
    expected = [
      [ "services.lichen.autoUpdate follows signed channels only: nix.settings.trusted-public-keys must name the key that `lichen publish` signs with." ]
      [ "services.lichen.autoUpdate follows signed channels only: nix.settings.require-sigs must not be false." ]
    ];
  };
  "what can't be fetched from is refused" = {
    expr = map (url: failed (trusting { inherit url; })) [ null "s3://bucket" "https://" ];
    expected = let refused = [ "services.lichen.autoUpdate.url must be an address that begins with https:// or http://." ]; in [ refused refused refused ];
  };
  "a window that is never open is refused" = {
    expr = failed (trusting { window = { from = "02:00"; to = "02:00"; }; });
    expected = [ "services.lichen.autoUpdate.window is empty: it is from 02:00 to 02:00." ];
  };
}
