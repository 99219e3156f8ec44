# Backups by themselves: what lichenctl reads, when it runs, and what is refused.
{ lib, modules }:
let
  key = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
  notes = { version = "1"; backup = "notes backup -"; restore = "notes restore"; };
  eval = state: backup: modules.evalAppliance {
    pkgs.lichenctl.outPath = "/usr";
    modules = [{ _file = "appliances/x.nix"; lichen = { inherit state; backup = { enable = true; } // backup; }; }];
  };
  etc = backup: (eval { inherit notes; } ({ recipients = [ key ]; } // backup)).config.environment.etc;
  failed = evaluated: map (a: a.message) evaluated.failedAssertions;
  lines = what: text: lib.filter (lib.hasPrefix what) (lib.splitString "\n" text);
in
{
  "it is what lichenctl reads" = {
    expr = map (backup: builtins.fromJSON (etc backup)."lichen/backup.json".text)
      [ { } { keep = 30; s3 = { endpoint = "https://s3.example.org"; bucket = "backups"; prefix = "lab/"; }; } ];
    expected = [
      { recipients = [ key ]; keep = 7; }
      { recipients = [ key ]; keep = 30; s3 = { endpoint = "https://s3.example.org"; bucket = "backups"; prefix = "lab/"; region = "us-east-1"; }; }
    ];
  };
  "it runs at night, and makes up for what it missed" = {
    expr = (etc { })."systemd/system/lichenctl-backup.timer".text;
    expected = "[Unit]\nDescription=Back up the data of the services\n\n[Timer]\nOnCalendar=02:00\nPersistent=true\nRandomizedDelaySec=30min\n";
  };
  "a backup that fails is no failed unit" = {
    expr = lines "SuccessExitStatus=" (etc { })."systemd/system/lichenctl-backup.service".text;
    expected = [ "SuccessExitStatus=1" ];
  };
  "a boot is over before a backup is" = {
    expr = lines "Type=" (etc { })."systemd/system/lichenctl-backup.service".text;
    expected = [ "Type=exec" ];
  };
  "nobody asked, nothing is there" = {
    expr = let e = etc { enable = false; }; in [ (e ? "lichen/backup.json") (e ? "systemd/system/lichenctl-backup.timer") ];
    expected = [ false false ];
  };
  "without a key, without data, and without the bucket, it is refused" = {
    expr = [
      (failed (eval { inherit notes; } { }))
      (failed (eval { } { recipients = [ key ]; }))
      (failed (eval { inherit notes; } { recipients = [ key ]; s3.endpoint = "https://s3.example.org"; }))
    ];
    expected = [
      [ "lichen.backup.recipients must name a public key: backups are encrypted. `lichen key backup` makes one." ]
      [ "lichen.backup.enable: no service of this appliance declares data in lichen.state, so there is nothing to back up." ]
      [ "lichen.backup.s3.bucket must be named when lichen.backup.s3.endpoint is set." ]
    ];
  };
  "the boot completes a restore that was cut" = {
    expr = lines "ConditionPathExists=" (etc { })."systemd/system/lichen-restore-state.service".text;
    expected = [ "ConditionPathExists=|/var/lib/lichen/state/changes.json" "ConditionPathExists=|/var/lib/lichen/restore" ];
  };
}
