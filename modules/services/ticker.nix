# Market data, around the clock: WebSocket feeds to Parquet files to S3.
{ config, lib, pkgs, ... }@module:
let
  inherit (lib) mkIf mkMerge mkOption types;
  cfg = config.services.ticker;
  kit = import ./common/kit.nix module { name = "ticker"; };
  inherit (kit) option setting;
  # Each exchange is one source file of the program.
  files = builtins.attrNames (builtins.readDir ../../crates/ticker/src/feed/exchange);
  exchanges = map (lib.removeSuffix ".rs") (lib.filter (file: file != "mod.rs") files);
  memory = { MemoryHigh = "1500M"; MemoryMax = "2G"; };
  source = types.submodule {
    freeformType = types.attrsOf types.anything;
    options = {
      name = mkOption { type = types.str; example = "coinbase"; description = "The source's name in file names, keys, metrics and logs."; };
      kind = mkOption { type = types.enum exchanges; description = "The exchange, or the format of the messages."; };
      channels = mkOption { type = types.nonEmptyListOf types.str; example = [ "matches" ]; description = "The channels to subscribe to."; };
      symbols = mkOption { type = types.nonEmptyListOf types.str; example = [ "BTC-USD" ]; description = "The symbols to subscribe to, as the exchange writes them."; };
    };
  };
in
{
  options.services.ticker = kit.options {
    what = "the ticker service";
    port = 8082;
    serves = "health, status and metrics";
  } // {
    sources = setting "sources" (types.listOf source) [ ] "What to listen to; any other setting of a source in the service's config.json is accepted too.";
    statsInterval = option (types.ints.between 1 86400) 30 "Seconds between two lines of statistics in the journal.";
    retentionDays = setting "sync.retention_days" (types.numbers.between 0 36500) 7 "Days for which files are kept after they have been synced.";
    syncInterval = option types.str "1min" "Time between two runs of the sync.";
    s3 = {
      endpoint = setting "sync.endpoint" (types.nullOr types.str) null "Address of the S3-compatible storage; nothing is synced if null. The keys are the secrets `ticker.s3-access-key-id` and `ticker.s3-secret-access-key`.";
      region = setting "sync.region" types.str "us-east-1" "The region of the storage.";
      bucket = setting "sync.bucket" types.str "" "The bucket that files are uploaded to.";
      prefix = setting "sync.prefix" types.str "" "Put before every key, for instance `attic/`.";
    };
  };

  config = mkIf cfg.enable (mkMerge [
    (kit.service "ticker" {
      settings.data.directory = "/var/lib/ticker";
      definition = {
        description = "Market data, from feeds to files";
        serviceConfig = memory // {
          ExecStart = "${kit.program} run --stats-interval ${toString cfg.statsInterval}";
          LimitNOFILE = 65535;
        };
      };
    })
    (mkIf (cfg.s3.endpoint != null) (kit.job "ticker-sync" {
      definition = {
        description = "Market data, from files to S3";
        serviceConfig = memory // {
          ExecStart = "${kit.program} sync --include-raw";
          # A slow line may need hours, and what has arrived is kept; but the job must end at some time.
          TimeoutStartSec = "6h";
          Nice = 10;
          IOSchedulingClass = "idle";
        };
      };
      timer = {
        description = "Sync market data";
        timerConfig = { OnBootSec = "1min"; OnUnitInactiveSec = cfg.syncInterval; RandomizedDelaySec = "10s"; };
      };
    }))
    {
      assertions = [{
        assertion = cfg.s3.endpoint == null || cfg.s3.bucket != "";
        message = "services.ticker.s3.bucket must be named when services.ticker.s3.endpoint is set.";
      }];
    }
  ]);
}
