# Units have the meaning that NixOS's options give them, on top of Debian's units.
{ lib, modules }:
let
  pkg = name: { outPath = "/usr"; inherit name; };
  eval = module: (modules.evalAppliance { pkgs = { lichenctl = pkg "lichenctl"; ffmpeg = pkg "ffmpeg"; }; modules = [ module ]; });
  etc = module: lib.filterAttrs (_: e: e.enable) (eval module).config.environment.etc;
  text = name: module: (etc module).${"systemd/system/${name}"}.text;
  # The files and links that a module adds to those of an empty appliance.
  added = module:
    let before = etc { }; after = etc module; in
    lib.mapAttrs (_: e: if e.text == null then "-> ${e.source}" else "file")
      (lib.filterAttrs (n: _: !(before ? ${n})) after);
in
{
  "a service" = {
    expr = text "x.service" {
      systemd.services.x = {
        description = "X";
        documentation = [ "man:x(1)" ];
        wantedBy = [ "multi-user.target" ];
        after = [ "network.target" "y.service" ];
        requires = [ "y.service" ];
        startLimitBurst = 3;
        startLimitIntervalSec = 600;
        unitConfig.ConditionPathExists = [ "/a" "/b" ];
        environment = { A = "b c"; NONE = null; };
        serviceConfig = { ExecStart = "/usr/bin/x"; Restart = "always"; RestartSec = 5; PrivateTmp = true; CapabilityBoundingSet = ""; };
      };
    };
    expected = ''
      [Unit]
      After=network.target y.service
      ConditionPathExists=/a
      ConditionPathExists=/b
      Description=X
      Documentation=man:x(1)
      Requires=y.service
      StartLimitBurst=3
      StartLimitIntervalSec=600

      [Service]
      Environment="A=b c"
      CapabilityBoundingSet=
      ExecStart=/usr/bin/x
      PrivateTmp=true
      Restart=always
      RestartSec=5
    '';
  };
  "wantedBy, requiredBy and aliases are links" = {
    expr = added { systemd.services.x = { serviceConfig.ExecStart = "/usr/bin/x"; wantedBy = [ "multi-user.target" ]; requiredBy = [ "y.service" ]; aliases = [ "z.service" ]; }; };
    expected = {
      "systemd/system/x.service" = "file";
      "systemd/system/z.service" = "-> /etc/systemd/system/x.service";
      "systemd/system/multi-user.target.wants/x.service" = "-> /etc/systemd/system/x.service";
      "systemd/system/y.service.requires/x.service" = "-> /etc/systemd/system/x.service";
    };
  };
  "a unit that is off is masked" = {
    expr = added { systemd.services.x.enable = false; systemd.sockets.systemd-initctl.enable = false; };
    expected = { "systemd/system/x.service" = "-> /dev/null"; "systemd/system/systemd-initctl.socket" = "-> /dev/null"; };
  };
  "a definition of a unit that Debian ships is a drop-in" = {
    expr = added { systemd.services.systemd-logind = { serviceConfig.MemoryMax = "20M"; wantedBy = [ "x.target" ]; }; };
    expected = {
      "systemd/system/systemd-logind.service.d/overrides.conf" = "file";
      "systemd/system/x.target.wants/systemd-logind.service" = "-> /usr/lib/systemd/system/systemd-logind.service";
    };
  };
  "so is one that says so, and one of an instance" = {
    expr = added {
      systemd.services.foreign = { overrideStrategy = "asDropin"; serviceConfig.Nice = 1; };
      systemd.services."getty@tty2" = { overrideStrategy = "asDropin"; wantedBy = [ "getty.target" ]; };
    };
    expected = {
      "systemd/system/foreign.service.d/overrides.conf" = "file";
      "systemd/system/getty.target.wants/getty@tty2.service" = "-> /usr/lib/systemd/system/getty@.service";
    };
  };
  "scripts are files, and their change restarts the service" = {
    expr =
      let module = script: { systemd.services.x = { inherit script; preStart = "mkdir -p /run/x"; scriptArgs = "%i"; }; }; in
      {
        script = (etc (module "echo hi")).${"lichen/scripts/x-start"};
        unit = lib.filter (l: lib.hasPrefix "Exec" l) (lib.splitString "\n" (text "x.service" (module "echo hi")));
        restarts = text "x.service" (module "echo hi") != text "x.service" (module "echo ho");
      };
    expected = {
      script = (etc { systemd.services.x.script = "echo hi"; })."lichen/scripts/x-start";
      unit = [ "ExecStart=/etc/lichen/scripts/x-start %i" "ExecStartPre=/etc/lichen/scripts/x-pre-start" ];
      restarts = true;
    };
  };
  "a script is strict, and can be run" = {
    expr = { inherit ((etc { systemd.services.x.script = "echo hi"; })."lichen/scripts/x-start") text mode; };
    expected = { text = "#! /bin/bash -e\necho hi\n"; mode = "0755"; };
  };
  "path is PATH, every directory once" = {
    expr = lib.filter (lib.hasPrefix "Environment") (lib.splitString "\n" (text "x.service"
      ({ pkgs, ... }: { systemd.services.x = { path = [ pkgs.ffmpeg pkgs.lichenctl "/opt/x" ]; serviceConfig.ExecStart = "x"; }; })));
    expected = [ "Environment=\"PATH=/usr/bin:/usr/sbin:/opt/x/bin:/opt/x/sbin\"" ];
  };
  "restartTriggers and reloadTriggers change the unit" = {
    expr =
      let unit = a: b: text "x.service" { systemd.services.x = { serviceConfig.ExecStart = "x"; restartTriggers = [ a ]; reloadTriggers = [ b ]; }; }; in
      [ (unit "a" "b" == unit "a" "b") (unit "a" "b" == unit "c" "b") (unit "a" "b" == unit "a" "c") ];
    expected = [ true false false ];
  };
  "so does a new version of a package that the unit runs or names, though its path stays" = {
    expr =
      let
        version = v: { outPath = lib.addContextFrom "${derivation { name = "climate-${v}"; builder = "b"; system = "s"; }}" "/usr"; };
        unit = v: text "x.service" { systemd.services.x.serviceConfig.ExecStart = "${version v}/bin/climate"; };
        named = v: text "x.service" { systemd.services.x = { serviceConfig.ExecStart = "x"; restartTriggers = [ (version v) ]; }; };
        line = what: v: lib.filter (lib.hasPrefix what) (lib.splitString "\n" (lib.unsafeDiscardStringContext (unit v)));
      in
      [ (line "ExecStart" "1" == line "ExecStart" "2") (line "X-Restart" "1" == line "X-Restart" "2") (lib.length (line "X-Restart" "1")) (named "1" == named "2") ];
    expected = [ true false 1 false ];
  };
  "what a switch shall do is in the unit" = {
    expr = text "x.service" { systemd.services.x = { serviceConfig.ExecStart = "x"; restartIfChanged = false; stopIfChanged = false; }; };
    expected = "[Service]\nX-RestartIfChanged=false\nX-StopIfChanged=false\nExecStart=x\n";
  };
  "startAt makes a timer" = {
    expr = text "x.timer" { systemd.services.x = { serviceConfig.ExecStart = "x"; startAt = [ "daily" "Mon 04:00" ]; }; };
    expected = "[Timer]\nOnCalendar=daily\nOnCalendar=Mon 04:00\n";
  };
  "timers, sockets, paths, targets, slices" = {
    expr = let m = {
      systemd.timers.t = { timerConfig = { OnBootSec = "1min"; Persistent = true; }; };
      systemd.sockets.s = { listenStreams = [ "80" "/run/s" ]; socketConfig.Accept = false; };
      systemd.paths.p.pathConfig.PathChanged = "/x";
      systemd.targets.g = { description = "G"; after = [ "x.service" ]; };
      systemd.slices.l.sliceConfig.MemoryMax = "1G";
    }; in map (n: text n m) [ "t.timer" "s.socket" "p.path" "g.target" "l.slice" ];
    expected = [
      "[Timer]\nOnBootSec=1min\nPersistent=true\n"
      "[Socket]\nListenStream=80\nListenStream=/run/s\nAccept=false\n"
      "[Path]\nPathChanged=/x\n"
      "[Unit]\nAfter=x.service\nDescription=G\n"
      "[Slice]\nMemoryMax=1G\n"
    ];
  };
  "mounts are named by where they are" = {
    expr = text "mnt-usb\\x2dstick.mount" { systemd.mounts = [{ what = "/dev/sda1"; where = "/mnt/usb-stick"; type = "vfat"; options = "noatime"; }]; };
    expected = "[Mount]\nOptions=noatime\nType=vfat\nWhat=/dev/sda1\nWhere=/mnt/usb-stick\n";
  };
  "system.conf holds the watchdog" = {
    expr = (etc { systemd.watchdog.runtimeTime = "30s"; systemd.extraConfig = "DefaultTasksMax=100"; })."systemd/system.conf".text;
    expected = ''
      [Manager]
      DefaultLimitCORE=0
      DefaultTimeoutStopSec=30s
      RebootWatchdogSec=2min
      RuntimeWatchdogSec=30s
      StatusUnitFormat=name
      DefaultTasksMax=100
    '';
  };
  "a service may be restarted by the text of a file below /etc" = {
    expr = lib.hasInfix "X-Restart-Triggers=" (text "x.service"
      ({ config, ... }: {
        environment.etc."x.json".text = "{}";
        systemd.services.x = { serviceConfig.ExecStart = "x"; restartTriggers = [ config.environment.etc."x.json".text config.environment.etc."x.json".source ]; };
      }));
    expected = true;
  };
}
