# What the device tells of itself, every minute.
{ lib, modules }:
let
  evaluated = modules.evalAppliance { pkgs.lichenctl.outPath = "/usr"; modules = [ ]; };
  unit = name: evaluated.config.environment.etc."systemd/system/${name}".text;
  lines = wanted: text: lib.filter (line: lib.any (key: lib.hasPrefix "${key}=" line) wanted) (lib.splitString "\n" text);
in
{
  "every appliance tells it, and leaves no lines in the journal by that" = {
    expr = lines [ "ExecStart" "LogLevelMax" "SuccessExitStatus" ] (unit "lichenctl-vitals.service");
    expected = [ "ExecStart=/usr/bin/lichenctl vitals" "LogLevelMax=notice" "SuccessExitStatus=1" ];
  };
  "it is told every minute" = {
    expr = [ (lines [ "OnBootSec" "OnUnitActiveSec" ] (unit "lichenctl-vitals.timer")) evaluated.config.systemd.timers.lichenctl-vitals.wantedBy ];
    expected = [ [ "OnBootSec=20s" "OnUnitActiveSec=1min" ] [ "timers.target" ] ];
  };
}
