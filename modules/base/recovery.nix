# Recovery in levels, for devices that nobody watches: what follows when restarting a service does not help, and why the
# device was reset. `lichenctl recover` decides; docs/how-it-works/health.md has the table.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkDefault mkForce mkOption types;
  cfg = config.lichen.recovery;
  lichenctl = "${pkgs.lichenctl}/bin/lichenctl";
in
{
  options.lichen.recovery = {
    services = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "prometheus-node-exporter" ];
      description = ''
        Services, by the names of their units, that are worth a reboot: when three restarts within ten minutes did not help, the
        device is rebooted, and when that does not help, it goes back to the generation that was good before. The services
        of this project are among them by themselves, except the courier: without it a device still measures.
      '';
    };
    rebootsPerDay = mkOption {
      type = types.ints.unsigned;
      default = 4;
      description = ''
        How often recovery may reboot within 24 hours in which the device runs. Then it stays up without the service, says so
        in its status and metrics, and tries to start the service every ten minutes. 0: recovery never reboots.
      '';
    };
  };

  config = {
    environment.etc."lichen/recovery.json".text = builtins.toJSON { reboots = cfg.rebootsPerDay; };

    systemd.services = lib.genAttrs cfg.services
      (name: {
        # The first start and three more. This wins over what the service's own module says.
        startLimitIntervalSec = mkForce 600;
        startLimitBurst = mkForce 4;
        onFailure = [ "lichen-recover@${name}.timer" ];
        conflicts = [ "lichen-recover@${name}.timer" ];
        serviceConfig = {
          Restart = mkDefault "on-failure";
          RestartMode = "direct"; # so that it has failed only when it is not started any more
        };
      }) // {
      "lichen-recover@" = {
        description = "Recover from the failure of %i";
        serviceConfig = {
          Type = "oneshot";
          ExecStart = "${lichenctl} recover %i.service";
          # A change of generation that is under way is waited for.
          TimeoutStartSec = "15min";
          # A reboot that cannot be counted is not made: there may be room for it later.
          Restart = "on-failure";
          RestartSec = "10min";
        };
        restartIfChanged = false;
      };

      # What panics is read before systemd-pstore puts it away.
      lichen-resets = {
        description = "Find out why the device was reset";
        wantedBy = [ "sysinit.target" ];
        after = [ "systemd-journald.socket" "systemd-modules-load.service" "lichen-arrive.service" ];
        before = [ "sysinit.target" "shutdown.target" "systemd-pstore.service" "lichen-bless.service" ];
        conflicts = [ "shutdown.target" ];
        unitConfig = {
          DefaultDependencies = false;
          RequiresMountsFor = "/var";
          RefuseManualStop = true;
        };
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "${lichenctl} resets begin";
          ExecStop = "${lichenctl} resets end";
          # That the reason cannot be written, on a full disk for instance, is in the journal, and no fault of a generation.
          SuccessExitStatus = 1;
          TimeoutStartSec = 60;
        };
        restartIfChanged = false;
      };
      # lichenctl starts and stops its timer.
      lichen-recovery = {
        description = "Count the time since recovery has rebooted, and try again what is given up";
        serviceConfig = { Type = "oneshot"; ExecStart = "${lichenctl} resets tick"; TimeoutStartSec = "15min"; };
        restartIfChanged = false;
      };
    };
    systemd.timers = {
      lichen-recovery = {
        description = "While recovery is at work";
        timerConfig = { OnActiveSec = "10min"; OnUnitActiveSec = "10min"; };
      };
      # A device that needs somebody's help has to be there long enough to be helped. Starting the service ends this.
      "lichen-recover@" = {
        description = "Give help ten minutes before recovering from the failure of %i";
        timerConfig.OnBootSec = "10min";
      };
    };

    # What a kernel that panics says survives a reset in memory that the boot script sets aside.
    boot.kernelModules = [ "ramoops" ];
  };
}
