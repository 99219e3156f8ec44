# Prices and usage of electricity on a kitchen's wall: a page, and a timer that asks Amber.
{ config, lib, pkgs, ... }@module:
let
  inherit (lib) mkIf mkMerge types;
  cfg = config.services.energy;
  # The names of the directory and the units are those of the installation that this service replaces.
  kit = import ./common/kit.nix module { name = "energy"; directory = "home-energy-analysis"; };
  inherit (kit) option setting;
  memory = { MemoryHigh = "96M"; MemoryMax = "128M"; };
in
{
  options.services.energy = kit.options {
    what = "the energy display";
    port = 5050;
    serves = "the page, the API and the metrics";
  } // {
    simulate = setting "simulate" types.bool false "Whether to make up prices and usage instead of asking Amber.";
    url = setting "amber.url" types.str "https://api.amber.com.au/v1" "Address of Amber's API.";
    siteId = setting "amber.site_id" (types.nullOr types.str) null "Amber's id of the site; the account's active one if null.";
    retentionDays = setting "cache.retention_days" (types.ints.between 2 36500) 730 "Days for which prices and usage are kept.";
    timeZone = setting "display.time_zone" (types.nullOr types.str) null "Time zone of the page's days and hours; the device's if null.";
    interval = option types.str "*:0/5" "When to ask Amber, in the words of {manpage}`systemd.time(7)`.";
  };

  config = mkIf cfg.enable (mkMerge [
    (kit.service "home-energy-dashboard" {
      definition = {
        description = "Prices and usage of electricity";
        serviceConfig = memory // { ExecStart = "${kit.program} dashboard"; };
      };
      data.version = "1"; # the version of SCHEMA in crates/energy, whose tests compare the two
    })
    (kit.job "home-energy-sync-cache" {
      definition = {
        description = "Look at Amber for prices and usage";
        serviceConfig = memory // { ExecStart = "${kit.program} sync"; TimeoutStartSec = "4min"; };
      };
      timer = if cfg.simulate then null else {
        description = "Look at Amber every few minutes";
        timerConfig = {
          OnCalendar = cfg.interval;
          # Not all devices ask at the same second, and each one always asks at the same.
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
