# Backups by themselves of the data that lichen.state declares. `lichenctl backup` does the work; docs/how-to/restore-a-backup.md
# tells the rest.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.lichen.backup;
  service = "lichenctl-backup";
in
{
  options.lichen.backup = {
    enable = mkEnableOption "backups of the data of all services that {option}`lichen.state` declares: encrypted, on DATA, in {file}`/var/lib/lichen/backup`";
    recipients = mkOption {
      type = types.listOf (types.strMatching "age1[02-9ac-hj-np-z]{58}");
      default = [ ];
      example = [ "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj" ];
      description = ''
        The public keys of age that backups are encrypted to: each of the secret keys opens all of them. `lichen key backup`
        makes a key and prints this line. The device itself cannot read its backups.
      '';
    };
    time = mkOption {
      type = types.either types.str (types.listOf types.str);
      default = "02:00";
      example = [ "02:00" "14:00" ];
      description = ''
        When to make a backup, in the words of {manpage}`systemd.time(7)`: at least once a day, because the alert `BackupOld` tells that
        there was none for two days. If the device was off at that time, it does so after its start.
      '';
    };
    randomizedDelaySec = mkOption {
      type = types.str;
      default = "30min";
      description = "By how much this may be delayed, by a different time on each device.";
    };
    s3 = {
      endpoint = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "https://s3.eu-central-1.amazonaws.com";
        description = ''
          Address of the S3-compatible storage that backups are brought to as well; null: none. The keys are the secrets
          `backup.s3-access-key-id` and `backup.s3-secret-access-key`. A device never removes a backup there, and its key need not
          allow that: let the bucket expire what is old.
        '';
      };
      bucket = mkOption { type = types.str; default = ""; example = "backups"; description = "The bucket."; };
      region = mkOption { type = types.str; default = "us-east-1"; description = "Its region. Storages without regions take the default."; };
      prefix = mkOption { type = types.str; default = ""; example = "lab/"; description = "What the names of objects begin with; the name of the device and a part of its machine id follow."; };
    };
    keep = mkOption {
      type = types.ints.positive;
      default = 7;
      description = "How many of the newest backups stay on DATA: with one a day, those of a week.";
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.recipients != [ ];
        message = "lichen.backup.recipients must name a public key: backups are encrypted. `lichen key backup` makes one.";
      }
      {
        assertion = config.lichen.state != { };
        message = "lichen.backup.enable: no service of this appliance declares data in lichen.state, so there is nothing to back up.";
      }
      {
        assertion = cfg.s3.endpoint == null || cfg.s3.bucket != "";
        message = "lichen.backup.s3.bucket must be named when lichen.backup.s3.endpoint is set.";
      }
    ];

    environment.etc."lichen/backup.json".text = builtins.toJSON ({ inherit (cfg) recipients keep; }
      // lib.optionalAttrs (cfg.s3.endpoint != null) { inherit (cfg) s3; });

    # Its name must not begin with lichen-: a switch leaves those units alone, but has to start and change timers.
    systemd.services.${service} = {
      description = "Back up the data of the services";
      wants = lib.optional (cfg.s3.endpoint != null) "network-online.target";
      after = lib.optional (cfg.s3.endpoint != null) "network-online.target";
      restartIfChanged = false;
      serviceConfig = {
        # Not oneshot: its start would be a job until everything is uploaded, and with it the boot would not be over.
        Type = "exec";
        ExecStart = "${pkgs.lichenctl}/bin/lichenctl backup --patiently";
        # That there is no new backup is in the journal and in the metrics. It is no fault of a generation on trial.
        SuccessExitStatus = 1;
        # Copies and uploads that stand still end by themselves, and an upload that is ended goes on the next night.
        RuntimeMaxSec = "23h";
        Nice = 10;
        IOSchedulingClass = "idle";
        # The commands of services run as their users, and ask their servers.
        LockPersonality = true;
        NoNewPrivileges = true;
        RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_UNIX" ];
        RestrictRealtime = true;
        SystemCallArchitectures = "native";
      };
    };
    systemd.timers.${service} = {
      description = "Back up the data of the services";
      wantedBy = [ "timers.target" ];
      timerConfig = { OnCalendar = cfg.time; RandomizedDelaySec = cfg.randomizedDelaySec; Persistent = true; };
    };
  };
}
