# Temperature and humidity of a server room: a Sense HAT's sensors, a web page, alerts.
{ config, lib, pkgs, ... }@module:
let
  inherit (lib) mkIf mkMerge types;
  cfg = config.services.climate;
  kit = import ./common/kit.nix module { name = "climate"; };
  inherit (kit) option setting;
  range = path: type: what: min: max: {
    min = setting (path "min") type min "Alert below this ${what}.";
    max = setting (path "max") type max "Alert above this ${what}.";
  };
in
{
  options.services.climate = kit.options {
    what = "the climate service";
    port = 8080;
    serves = "the web page, the API and the metrics";
  } // {
    simulate = option types.bool false "Whether to make up values instead of reading sensors.";
    bus = setting "sensor.bus" types.str "auto" "I²C bus of the sensors, as `/dev/i2c-1`; `auto` is the first bus that has them.";
    interval = setting "sensor.interval_seconds" (types.numbers.between 0.05 86400) 60 "Seconds between two readings.";
    heatFactor = setting "sensor.compensation.factor" (types.numbers.between 0 1000) 5.466 "Correction for the processor's heat: t − (soc − t) / factor; 0 is none.";
    retentionDays = setting "history.retention_days" (types.ints.between 1 36500) 365 "Days for which readings are kept.";
    temperature = range (which: "alerts.temp_${which}_c") (types.numbers.between (-40) 120) "temperature in °C" 15 27;
    humidity = range (which: "alerts.humidity_${which}") (types.numbers.between 0 100) "relative humidity in percent" 30 70;
    statusInterval = option (types.nullOr (types.ints.between 1 31536000)) null "Seconds between two messages that all is well; none if null.";
  };

  config = mkIf cfg.enable (mkMerge [
    (kit.service "climate" {
      settings = {
        sensor.kind = if cfg.simulate then "simulated" else "sense_hat";
        status = { enabled = cfg.statusInterval != null; interval_seconds = if cfg.statusInterval == null then 3600 else cfg.statusInterval; };
      };
      definition = {
        description = "Temperature and humidity of the server room";
        serviceConfig = {
          SupplementaryGroups = lib.optional (!cfg.simulate) "i2c";
          DeviceAllow = lib.optional (!cfg.simulate) "char-i2c rw";
          MemoryHigh = "400M";
          MemoryMax = "512M";
        };
      };
      data.version = "1"; # the version of SCHEMA in crates/climate, whose tests compare the two
    })
    {
      hardware.i2c.enable = mkIf (!cfg.simulate) true;
      assertions = map
        (what: {
          assertion = cfg.${what}.min < cfg.${what}.max;
          message = "services.climate.${what}.min (${toString cfg.${what}.min}) must be less than services.climate.${what}.max (${toString cfg.${what}.max}).";
        }) [ "temperature" "humidity" ];
    }
  ]);
}
