# Temperature and humidity of a server room: a Sense HAT's sensors, a web page, alerts.
{ config, options, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.climate;
  option = type: default: description: mkOption { inherit type default description; };
  range = what: min: max: {
    min = option types.number min "Alert below this ${what}.";
    max = option types.number max "Alert above this ${what}.";
  };
in
{
  options.services.climate = {
    enable = mkEnableOption "the climate service";
    port = option types.port 8080 "Port of the web page, the API and the metrics.";
    openFirewall = option types.bool false "Whether to open the port in the firewall.";
    simulate = option types.bool false "Whether to make values up instead of reading sensors.";
    bus = option types.str "auto" "I²C bus of the sensors, as `/dev/i2c-1`; `auto` is the first bus that has them.";
    interval = option types.number 60 "Seconds between two readings.";
    heatFactor = option types.number 5.466 "Correction for the processor's heat: t − (soc − t) / factor; 0 is none.";
    retentionDays = option types.ints.positive 365 "Days for which readings are kept.";
    temperature = range "temperature in °C" 15 27;
    humidity = range "relative humidity in percent" 30 70;
    statusInterval = option (types.nullOr types.ints.positive) null "Seconds between two messages that all is well; none if null.";
    settings = option (types.attrsOf types.anything) { } "Anything else in the service's config.json.";
  };

  config = mkIf cfg.enable ({
    assertions = map
      (what: {
        assertion = cfg.${what}.min < cfg.${what}.max;
        message = "services.climate.${what}.min (${toString cfg.${what}.min}) must be less than services.climate.${what}.max (${toString cfg.${what}.max}).";
      }) [ "temperature" "humidity" ];

    environment.etc."climate/config.json".text = builtins.toJSON (lib.recursiveUpdate {
      http.port = cfg.port;
      sensor = {
        kind = if cfg.simulate then "simulated" else "sense_hat";
        bus = cfg.bus;
        interval_seconds = cfg.interval;
        compensation.factor = cfg.heatFactor;
      };
      history.retention_days = cfg.retentionDays;
      alerts = {
        temp_min_c = cfg.temperature.min;
        temp_max_c = cfg.temperature.max;
        humidity_min = cfg.humidity.min;
        humidity_max = cfg.humidity.max;
      };
      status = { enabled = cfg.statusInterval != null; interval_seconds = if cfg.statusInterval == null then 3600 else cfg.statusInterval; };
    } cfg.settings);

    networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall [ cfg.port ];
    hardware.i2c.enable = mkIf (!cfg.simulate) true;
    users.users.climate = { isSystemUser = true; group = "climate"; };
    users.groups.climate = { };

    systemd.services.climate = {
      description = "Temperature and humidity of the server room";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      restartTriggers = [ config.environment.etc."climate/config.json".text ];
      startLimitIntervalSec = 0; # a sensor room without a monitor is worse than a restart too many
      serviceConfig = import ./common/kit.nix "climate" // {
        ExecStart = "${pkgs.climate}/bin/climate";
        SupplementaryGroups = lib.optional (!cfg.simulate) "i2c";
        DeviceAllow = lib.optional (!cfg.simulate) "char-i2c rw";
        MemoryHigh = "400M";
        MemoryMax = "512M";
      };
    };
  } // lib.optionalAttrs (options ? lichen) {
    # Not in NixOS, which this file can be imported into as well.
    lichen = {
      healthChecks.climate.http = "http://127.0.0.1:${toString cfg.port}/health";
      # user_version of the history's schema: VERSION in crates/climate/src/history/store.rs.
      state.climate = {
        version = "1";
        backup = "${pkgs.climate}/bin/climate backup -";
        restore = "${pkgs.climate}/bin/climate restore --state-directory \"$DIRECTORY\" /dev/stdin";
      };
    };
  });
}
