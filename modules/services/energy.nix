# Prices and usage of electricity on a kitchen's wall: a page, and a timer that asks Amber.
{ config, lib, pkgs, ... }@module:
let
  inherit (lib) mkIf mkMerge types;
  cfg = config.services.energy;
  # The names of the directory and the units are those that their owners know from before.
  kit = import ./common/kit.nix module { name = "energy"; directory = "home-energy-analysis"; };
  inherit (kit) option;
  memory = { MemoryHigh = "96M"; MemoryMax = "128M"; };
in
{
  options.services.energy = kit.options {
    what = "the energy display";
    port = 5050;
    serves = "the page, the API and the metrics";
  } // {
    simulate = option types.bool false "Whether to make up prices and usage instead of asking Amber.";
    url = option types.str "https://api.amber.com.au/v1" "Address of Amber's API.";
    siteId = option (types.nullOr types.str) null "Amber's id of the site; the account's active one if null.";
    retentionDays = option types.ints.positive 730 "Days for which prices and usage are kept.";
    timeZone = option (types.nullOr types.str) null "Time zone of the page's days and hours; the device's if null.";
    interval = option types.str "*:0/5" "When to ask Amber, in the words of {manpage}`systemd.time(7)`.";
  };

  config = mkIf cfg.enable (mkMerge [
    (kit.service "home-energy-dashboard" {
      settings = {
        inherit (cfg) simulate;
        amber = { inherit (cfg) url; site_id = cfg.siteId; };
        cache.retention_days = cfg.retentionDays;
        display.time_zone = cfg.timeZone;
      };
      definition = {
        description = "Prices and usage of electricity";
        startLimitIntervalSec = 0; # a display that is dark is worse than a restart too many
        serviceConfig = memory // { ExecStart = "${kit.program} dashboard"; };
      };
      data.version = "1"; # the version of SCHEMA in crates/energy, whose tests compare the two
    })
    (kit.job "home-energy-sync-cache" {
      definition = {
        description = "Look at Amber for prices and usage";
        wants = [ "network-online.target" ];
        # A switch must not wait for Amber; the timer runs the job soon anyway.
        restartIfChanged = false;
        serviceConfig = memory // { ExecStart = "${kit.program} sync"; TimeoutStartSec = "4min"; };
      };
      timer = if cfg.simulate then null else {
        description = "Look at Amber every few minutes";
        timerConfig = {
          OnCalendar = cfg.interval;
          # Not all kitchens ask at the same second, and each always asks at its own.
          RandomizedDelaySec = "45s";
          FixedRandomDelay = true;
          AccuracySec = "1s";
          Persistent = true;
          OnBootSec = "5s";
        };
      };
    })
  ]);
}
