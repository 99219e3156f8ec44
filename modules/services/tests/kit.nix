# What a module gets from common/kit.nix: a service of a few lines, and a job beside it.
{ lib, modules }:
let
  pkgs = { lichenctl.outPath = "/usr"; notes.outPath = "/usr"; };
  notes = { config, options, lib, pkgs, ... }@module:
    let kit = import ../common/kit.nix module { name = "notes"; directory = "scribbles"; }; in
    {
      options.services.notes = kit.options { what = "the notes service"; port = 8090; serves = "the page"; } // {
        ink = kit.option lib.types.str "black" "Colour of the ink.";
        paper.size = kit.setting "paper.size" lib.types.int 4 "Size of the paper.";
      };
      config = lib.mkIf config.services.notes.enable (lib.mkMerge [
        (kit.service "notes-page" {
          settings = { paper.lined = true; http.max_connections = 3; };
          data.version = "7";
          definition = { description = "Notes"; serviceConfig.MemoryMax = "64M"; };
        })
        (kit.job "notes-print" {
          timer = { description = "Print every evening"; timerConfig.OnCalendar = "20:00"; };
          definition.serviceConfig.ExecStart = "${kit.program} print";
        })
        { users.users.notes.uid = 1000; users.groups.notes.gid = 1000; }
      ]);
    };
  evalWith = settings: modules.evalAppliance { inherit pkgs; modules = [ notes { services.notes = settings; } ]; };
  eval = settings: evalWith ({ enable = true; } // settings);
  etc = settings: (eval settings).config.environment.etc;
  unit = name: settings: lib.splitString "\n" (etc settings)."systemd/system/${name}".text;
  lines = wanted: name: lib.filter (line: lib.any (key: lib.hasPrefix "${key}=" line) wanted) (unit name { });
  trigger = settings: lib.filter (lib.hasPrefix "X-Restart-Triggers=") (unit "notes-page.service" settings);
in
{
  "a service that is not enabled leaves nothing behind" = {
    expr = let it = (evalWith { }).config; in [ (it.users.users ? notes) (it.environment.etc ? "notes/config.json") (it.systemd.services ? notes-page) ];
    expected = [ false false false ];
  };
  "options that are settings are written under their names, and no others" = {
    expr = builtins.fromJSON (etc { port = 99; ink = "red"; paper.size = 5; })."notes/config.json".text;
    expected = { http = { port = 99; max_connections = 3; }; paper = { lined = true; size = 5; }; };
  };
  "the user's settings win over those of the options and of the module" = {
    expr = builtins.fromJSON (etc { settings.paper = { lined = false; size = 6; }; })."notes/config.json".text;
    expected = { http = { port = 8090; max_connections = 3; }; paper = { lined = false; size = 6; }; };
  };
  "another configuration restarts the service" = {
    expr = [ (lib.length (trigger { })) (trigger { } == trigger { port = 99; }) ];
    expected = [ 1 false ];
  };
  "the unit runs the program as its own user, and the module may add to that" = {
    expr = lines [ "ExecStart" "Group" "ImportCredential" "MemoryMax" "StateDirectory" "Type" "User" ] "notes-page.service";
    expected = [ "ExecStart=/usr/bin/notes" "Group=notes" "ImportCredential=notes.*" "MemoryMax=64M" "StateDirectory=scribbles" "Type=notify" "User=notes" ];
  };
  "a job is confined as the service is, ends, and is not restarted, not even by an update" = {
    expr =
      let
        life = [ "ExecStart" "MemoryMax" "Restart" "RestartMaxDelaySec" "RestartMode" "RestartPreventExitStatus" "RestartSec" "RestartSteps" "SuccessExitStatus" "TimeoutStartSec" "Type" "WatchdogSec" "X-RestartIfChanged" ];
        rest = name: lib.filter (line: ! lib.any (key: lib.hasPrefix "${key}=" line) life)
          (lib.splitString "\n" (lib.last (lib.splitString "[Service]\n" (etc { })."systemd/system/${name}".text)));
      in [ (lines life "notes-print.service") (rest "notes-print.service" == rest "notes-page.service") ];
    expected = [ [ "X-RestartIfChanged=false" "ExecStart=/usr/bin/notes print" "SuccessExitStatus=75" "Type=oneshot" ] true ];
  };
  "a job's timer is started with the others" = {
    expr = (eval { }).config.systemd.timers.notes-print.wantedBy;
    expected = [ "timers.target" ];
  };
  "the firewall is opened only if asked" = {
    expr = map (s: (eval s).config.networking.firewall.allowedTCPPorts) [ { } { openFirewall = true; } ];
    expected = [ [ 22 ] [ 22 8090 ] ];
  };
  "the service's health decides about a generation" = {
    expr = (builtins.fromJSON (etc { port = 99; })."lichen/health.json".text).checks.notes;
    expected.http = "http://127.0.0.1:99/health";
  };
  "data with a version are protected with the program's own commands" = {
    expr = builtins.fromJSON (etc { })."lichen/state.json".text;
    expected.notes-page = {
      version = "7";
      directory = "/var/lib/scribbles";
      user = "notes";
      backup = "/usr/bin/notes backup -";
      restore = "/usr/bin/notes restore --state-directory \"$DIRECTORY\" /dev/stdin";
    };
  };
  "the options are documented as any other" = {
    expr = map (o: "${o.name}: ${o.description}") (lib.filter (o: lib.hasPrefix "services.notes." o.name) (modules.docs.list (evalWith { }).options));
    expected = [
      "services.notes.enable: Whether to enable the notes service."
      "services.notes.ink: Colour of the ink."
      "services.notes.openFirewall: Whether to open the port in the firewall."
      "services.notes.paper.size: Size of the paper."
      "services.notes.port: Port of the page."
      "services.notes.settings: Further settings of the service's config.json."
    ];
  };
}
