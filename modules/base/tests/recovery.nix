# What follows when restarting a service does not help.
{ lib, modules }:
let
  eval = module: modules.evalAppliance { pkgs = { lichenctl.outPath = "/usr"; prometheus-node-exporter.outPath = "/usr"; }; modules = [ module ]; };
  etc = module: (eval module).config.environment.etc;
  lines = wanted: text: lib.filter (line: lib.any (key: lib.hasPrefix "${key}=" line) wanted) (lib.splitString "\n" text);
  limits = [ "Conflicts" "OnFailure" "Restart" "RestartMode" "StartLimitBurst" "StartLimitIntervalSec" ];
  unit = name: (etc { })."systemd/system/${name}".text;
in
{
  "a service that is named fails after three restarts in ten minutes, and is recovered from" = {
    expr = lines limits (etc {
      lichen.recovery.services = [ "my-daemon" ];
      systemd.services.my-daemon.serviceConfig.ExecStart = "/usr/bin/true";
    })."systemd/system/my-daemon.service".text;
    expected = [
      "Conflicts=lichen-recover@my-daemon.timer"
      "OnFailure=lichen-recover@my-daemon.timer"
      "StartLimitBurst=4"
      "StartLimitIntervalSec=600"
      "Restart=on-failure"
      "RestartMode=direct"
    ];
  };
  "naming a daemon of Debian wins over its own module, and leaves how it is restarted" = {
    expr = lines limits (etc {
      services.prometheus.exporters.node.enable = true;
      lichen.recovery.services = [ "prometheus-node-exporter" ];
    })."systemd/system/prometheus-node-exporter.service.d/overrides.conf".text;
    expected = [
      "Conflicts=lichen-recover@prometheus-node-exporter.timer"
      "OnFailure=lichen-recover@prometheus-node-exporter.timer"
      "StartLimitBurst=4"
      "StartLimitIntervalSec=600"
      "Restart=always"
      "RestartMode=direct"
    ];
  };
  "who does not name one is not rebooted for it" = {
    expr = lines [ "OnFailure" ] (etc { services.prometheus.exporters.node.enable = true; })."systemd/system/prometheus-node-exporter.service.d/overrides.conf".text;
    expected = [ ];
  };
  "a reboot waits until the device has been there for a while" = {
    expr = [ (lines [ "OnBootSec" ] (unit "lichen-recover@.timer")) (lines [ "ExecStart" ] (unit "lichen-recover@.service")) ];
    expected = [ [ "OnBootSec=10min" ] [ "ExecStart=/usr/bin/lichenctl recover %i.service" ] ];
  };
  "the limit a day is four, or what the page says" = {
    expr = map (module: (builtins.fromJSON (etc module)."lichen/recovery.json".text).reboots) [ { } { lichen.recovery.rebootsPerDay = 0; } ];
    expected = [ 4 0 ];
  };
  "the reason of a reset is known before panics are put away, and before a trial is judged" = {
    expr = [
      (lib.all (name: lib.elem name (lib.splitString " " (lib.removePrefix "Before=" (lib.head (lines [ "Before" ] (unit "lichen-resets.service")))))) [ "systemd-pstore.service" "lichen-bless.service" ])
      (lines [ "ExecStart" "ExecStop" "RefuseManualStop" "SuccessExitStatus" ] (unit "lichen-resets.service"))
      (lib.elem "ramoops" (eval { }).config.boot.kernelModules)
    ];
    expected = [ true [ "RefuseManualStop=true" "ExecStart=/usr/bin/lichenctl resets begin" "ExecStop=/usr/bin/lichenctl resets end" "SuccessExitStatus=1" ] true ];
  };
  "time is counted only while lichenctl wants it" = {
    expr = (eval { }).config.systemd.timers.lichen-recovery.wantedBy;
    expected = [ ];
  };
}
