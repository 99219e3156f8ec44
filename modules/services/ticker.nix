# Market data, around the clock: WebSocket feeds to Parquet files to S3.
{ config, options, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.ticker;
  option = type: default: description: mkOption { inherit type default description; };
  source = types.submodule {
    freeformType = types.attrsOf types.anything;
    options = {
      name = mkOption { type = types.str; example = "coinbase"; description = "Its name in file names, keys, metrics and logs."; };
      kind = mkOption { type = types.enum [ "coinbase" "binance" "kraken" "json" "simulated" ]; description = "The format of its messages."; };
      channels = mkOption { type = types.nonEmptyListOf types.str; example = [ "matches" ]; description = "The channels to subscribe to."; };
      symbols = mkOption { type = types.nonEmptyListOf types.str; example = [ "BTC-USD" ]; description = "The symbols to subscribe to, as the exchange writes them."; };
    };
  };
  kit = import ./common/kit.nix "ticker";
  limits = { MemoryHigh = "1500M"; MemoryMax = "2G"; };
in
{
  options.services.ticker = {
    enable = mkEnableOption "the ticker service";
    port = option types.port 8082 "Port of health, status and metrics.";
    openFirewall = option types.bool false "Whether to open the port in the firewall.";
    sources = option (types.listOf source) [ ] "What to listen to; anything else in a source of the service's config.json may be set too.";
    statsInterval = option types.ints.positive 30 "Seconds between two lines of statistics in the journal.";
    retentionDays = option types.number 7 "Days for which files are kept after they have been synced.";
    syncInterval = option types.str "1min" "Time between two runs of the sync.";
    s3 = {
      endpoint = option (types.nullOr types.str) null "Address of the S3-compatible storage; nothing is synced if null. The keys are the secrets `ticker.s3-access-key-id` and `ticker.s3-secret-access-key`.";
      region = option types.str "us-east-1" "Its region.";
      bucket = option types.str "" "The bucket.";
      prefix = option types.str "" "Put before every key, as `attic/`.";
    };
    settings = option (types.attrsOf types.anything) { } "Anything else in the service's config.json.";
  };

  config = mkIf cfg.enable ({
    assertions = [
      {
        assertion = cfg.s3.endpoint == null || cfg.s3.bucket != "";
        message = "services.ticker.s3.bucket must be named when services.ticker.s3.endpoint is set.";
      }
    ];

    environment.etc."ticker/config.json".text = builtins.toJSON (lib.recursiveUpdate {
      http.port = cfg.port;
      sources = cfg.sources;
      data.directory = "/var/lib/ticker";
      sync = { inherit (cfg.s3) endpoint region bucket prefix; retention_days = cfg.retentionDays; };
    } cfg.settings);

    networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall [ cfg.port ];
    users.users.ticker = { isSystemUser = true; group = "ticker"; };
    users.groups.ticker = { };

    systemd.services.ticker = {
      description = "Market data, from feeds to files";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      restartTriggers = [ config.environment.etc."ticker/config.json".text ];
      # Restarts slow down to one a minute; what has crashed twenty times in half an hour needs a human.
      startLimitIntervalSec = 1800;
      startLimitBurst = 20;
      serviceConfig = kit // limits // {
        ExecStart = "${pkgs.ticker}/bin/ticker run --stats-interval ${toString cfg.statsInterval}";
        LimitNOFILE = 65535;
      };
    };

    systemd.services.ticker-sync = mkIf (cfg.s3.endpoint != null) {
      description = "Market data, from files to S3";
      after = [ "network.target" "network-online.target" ];
      serviceConfig = removeAttrs kit [ "Restart" "RestartSec" "RestartSteps" "RestartMaxDelaySec" "RestartPreventExitStatus" "WatchdogSec" "TimeoutStartSec" ] // limits // {
        Type = "oneshot";
        ExecStart = "${pkgs.ticker}/bin/ticker sync --include-raw";
        # That the storage can't be reached is in the journal, and in the service's health and metrics. A failed unit
        # it must not be: that would make the generation unhealthy that happens to be on trial.
        SuccessExitStatus = 75;
        # A slow line may take its time, as what has arrived is kept; but not for ever.
        TimeoutStartSec = "6h";
        Nice = 10;
        IOSchedulingClass = "idle";
      };
    };
    systemd.timers.ticker-sync = mkIf (cfg.s3.endpoint != null) {
      description = "Sync market data";
      wantedBy = [ "timers.target" ];
      timerConfig = { OnBootSec = "1min"; OnUnitInactiveSec = cfg.syncInterval; RandomizedDelaySec = "10s"; };
    };
  } // lib.optionalAttrs (options ? lichen) {
    # Not in NixOS, which this file can be imported into as well.
    lichen.healthChecks.ticker.http = "http://127.0.0.1:${toString cfg.port}/health";
  });
}
