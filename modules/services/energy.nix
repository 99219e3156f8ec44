# Prices and usage of electricity on a kitchen's wall: a page, and a timer that looks at Amber.
{ config, options, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.energy;
  option = type: default: description: mkOption { inherit type default description; };
  energy = "${pkgs.energy}/bin/energy";
  # Names that their owners know.
  state = "home-energy-analysis";
  common = import ./common/kit.nix "energy" // { StateDirectory = state; };
in
{
  options.services.energy = {
    enable = mkEnableOption "the energy display";
    port = option types.port 5050 "Port of the page, the API and the metrics.";
    openFirewall = option types.bool false "Whether to open the port in the firewall.";
    simulate = option types.bool false "Whether to make prices and usage up instead of asking Amber.";
    url = option types.str "https://api.amber.com.au/v1" "Where Amber's API is.";
    siteId = option (types.nullOr types.str) null "Amber's id of the site; the account's active one if null.";
    retentionDays = option types.ints.positive 730 "Days for which prices and usage are kept.";
    timeZone = option (types.nullOr types.str) null "Time zone of the page's days and hours; the device's if null.";
    interval = option types.str "*:0/5" "When to look at Amber, as {manpage}`systemd.time(7)` has it.";
    settings = option (types.attrsOf types.anything) { } "Anything else in the service's config.json.";
  };

  config = mkIf cfg.enable ({
    environment.etc."energy/config.json".text = builtins.toJSON (lib.recursiveUpdate {
      http.port = cfg.port;
      inherit (cfg) simulate;
      amber = { inherit (cfg) url; site_id = cfg.siteId; };
      cache.retention_days = cfg.retentionDays;
      display.time_zone = cfg.timeZone;
    } cfg.settings);

    networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall [ cfg.port ];
    users.users.energy = { isSystemUser = true; group = "energy"; };
    users.groups.energy = { };

    systemd.services.home-energy-dashboard = {
      description = "Prices and usage of electricity";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      restartTriggers = [ config.environment.etc."energy/config.json".text ];
      startLimitIntervalSec = 0; # a display that is dark is worse than a restart too many
      serviceConfig = common // {
        ExecStart = "${energy} dashboard";
        MemoryHigh = "96M";
        MemoryMax = "128M";
      };
    };

    systemd.services.home-energy-sync-cache = {
      description = "Look at Amber for prices and usage";
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      # A switch must not wait for Amber; the timer comes anyway.
      restartIfChanged = false;
      serviceConfig = removeAttrs common [ "WatchdogSec" "Restart" "RestartSec" "RestartSteps" "RestartMaxDelaySec" "RestartPreventExitStatus" ] // {
        Type = "oneshot";
        ExecStart = "${energy} sync";
        # Amber or the network: the dashboard says so, and the device is well.
        SuccessExitStatus = 75;
        TimeoutStartSec = "4min";
        MemoryHigh = "96M";
        MemoryMax = "128M";
      };
    };
    systemd.timers.home-energy-sync-cache = mkIf (!cfg.simulate) {
      description = "Look at Amber every few minutes";
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnCalendar = cfg.interval;
        # Not all kitchens at the same second, and each always at its own.
        RandomizedDelaySec = "45s";
        FixedRandomDelay = true;
        AccuracySec = "1s";
        Persistent = true;
        OnBootSec = "5s";
      };
    };
  } // lib.optionalAttrs (options ? lichen) {
    # Not in NixOS, which this file can be imported into as well.
    lichen = {
      healthChecks.energy.http = "http://127.0.0.1:${toString cfg.port}/health";
      # user_version of the cache's schema: SCHEMA in crates/energy/src/cache/store.rs.
      state.home-energy-dashboard = {
        version = "1";
        directory = "/var/lib/${state}";
        user = "energy";
        backup = "${energy} backup -";
        restore = "${energy} restore --state-directory \"$DIRECTORY\" /dev/stdin";
      };
    };
  });
}
