# What a device measures and logs, carried away: metrics by Prometheus' remote write, the journal to Loki.
{ config, lib, pkgs, ... }@module:
let
  inherit (lib) mkDefault mkIf mkMerge mkOption types;
  cfg = config.services.courier;
  exporters = lib.filterAttrs (_: one: one.enable) config.services.prometheus.exporters;
  inherit (import ../daemons/common/exporter.nix { inherit lib; }) address;
  kit = import ./common/kit.nix module { name = "courier"; };
  inherit (kit) option setting;
  url = path: what: setting "${path}.url" (types.nullOr types.str) null "Address of ${what}. Its secrets are `courier.${path}-token` or, for a user with a password, `courier.${path}-user` and `courier.${path}-password`.";
  tenant = path: setting "${path}.tenant" (types.nullOr types.str) null "Sent as `X-Scope-OrgID`, which a receiver for several tenants asks for.";
  names = path: description: setting path (types.listOf types.str) [ ] description // { example = [ "node_*" "up" ]; };

  targets = lib.filterAttrs (_: url: url != null) cfg.scrape.targets;
  # Addresses by the options that have them.
  addresses = lib.filterAttrs (_: url: url != null) {
    "services.courier.remoteWrite.url" = cfg.remoteWrite.url;
    "services.courier.loki.url" = cfg.loki.url;
  } // lib.mapAttrs' (name: value: { name = "services.courier.scrape.targets.${name}"; inherit value; }) targets;
  # What the service takes as an address, too: see crates/http-client/src/address.rs.
  isAddress =
    let
      user = "([^]/?#@[:space:]<>[]*@)?";
      host = "([a-zA-Z0-9._~!$&'()*+,;=-]+|\\[[0-9a-fA-F:.]+])";
      port = "(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?";
      path = "(/[^?#[:space:][:cntrl:]<>`]*)?";
      query = "([?][^#[:space:][:cntrl:]<>\"]*)?";
    in
    url: builtins.match "https?://${user}${host}${port}${path}${query}(#.*)?" url != null;
  hasPassword = url: builtins.match "https?://[^/?#]*@.*" url != null;
  isLabel = name: builtins.match "[a-zA-Z_][a-zA-Z0-9_]*" name != null && ! lib.hasPrefix "__" name;
  own = [ "job" "unit" "level" ];
  bytes = builtins.stringLength;
  each = check: message: values: lib.mapAttrsToList (name: value: { assertion = check name value; message = message name value; }) values;
in
{
  options.services.courier = kit.options {
    what = "the courier, which sends metrics and logs away";
    port = 9102;
    serves = "health and the courier's own metrics";
  } // {
    remoteWrite = {
      url = url "metrics" "a receiver of Prometheus' remote write, such as `https://prometheus.example.org/api/v1/write`; nothing is scraped if null";
      tenant = tenant "metrics";
    };
    loki = {
      url = url "logs" "Loki's push API, such as `https://loki.example.org/loki/api/v1/push`; no logs are read if null";
      tenant = tenant "logs";
    };
    labels = setting "labels" (types.attrsOf types.str) { } "Labels of every series and every log line. `instance` is the device's host name unless it is set here." // {
      example = { customer = "acme"; location = "cellar"; };
    };
    scrape = {
      interval = setting "scrape.interval_seconds" (types.numbers.between 0.02 3600) 15 "Seconds between two scrapes.";
      targets = mkOption {
        type = types.attrsOf (types.nullOr types.str);
        default = { };
        example = { inverter = "http://192.168.1.20/metrics"; energy = null; };
        description = ''
          Addresses of what is scraped, by the name that becomes the label `job`. The appliance's own services are in it, and so are
          those of {option}`services.prometheus.exporters` that are enabled, as `node`, for example; null takes one of them out.
        '';
      };
      keep = names "scrape.keep" "Names of the metrics that are kept, in which `*` stands for any characters; all if the list is empty.";
      drop = names "scrape.drop" "Names of metrics that are dropped, even if {option}`services.courier.scrape.keep` names them.";
    };
    queue.maxBytes = setting "queue.max_bytes" (types.ints.between 65536 1099511627776) 268435456 "How many bytes of metrics may wait on the disk. When there are more, the oldest are given up and counted. Logs wait in the journal, within the limits of {option}`services.journald`.";
  };

  config = mkIf cfg.enable (mkMerge [
    (kit.service "courier" {
      settings = {
        scrape.targets = lib.mapAttrsToList (job: url: { inherit job url; }) targets;
        # Where nobody sets the clock, there is nothing to wait for.
        clock = lib.optionalAttrs (! config.services.timesyncd.enable) { synchronized = null; };
      };
      # A device that does not stay in touch still measures: it is not interrupted for that.
      worthReboot = false;
      definition = {
        description = "Carries metrics and logs away";
        startLimitIntervalSec = 0; # it is tried for ever, since it tells of all other failures
        serviceConfig = {
          # journalctl, its child, reads the journal.
          SupplementaryGroups = [ "systemd-journal" ];
          # The number of the boot tells apart what one clock measured and what another.
          ProcSubset = "all";
          MemoryHigh = "96M";
          MemoryMax = "128M";
        };
      };
    })
    {
      services.courier.scrape.targets = lib.mapAttrs (_: one: mkDefault "${lib.removeSuffix "/" (address one)}${one.telemetryPath or "/metrics"}") exporters;
      # What the journal has not written is lost with the power. This is as often as the metrics are written.
      services.journald.extraConfig = mkIf (cfg.loki.url != null) (lib.mkBefore "SyncIntervalSec=15s");
      assertions = [
        {
          assertion = cfg.remoteWrite.url != null || cfg.loki.url != null;
          message = "services.courier is enabled, but has no receiver: set services.courier.remoteWrite.url, services.courier.loki.url, or both.";
        }
        {
          assertion = lib.length (lib.attrNames targets) <= 32;
          message = "services.courier.scrape.targets has ${toString (lib.length (lib.attrNames targets))} targets; at most 32 are possible.";
        }
        {
          assertion = lib.length (lib.attrNames cfg.labels) <= 16;
          message = "services.courier.labels has ${toString (lib.length (lib.attrNames cfg.labels))} labels; at most 16 are possible.";
        }
      ]
      # A message does not repeat an address: it may have a password in it.
      ++ each (_: isAddress) (name: _: "${name} is no address: it must begin with http:// or https://, and a host must follow, perhaps a port, and a path without spaces.") addresses
      ++ each (_: url: ! hasPassword url) (name: _: "${name} has a user or a password in it, which everybody on the build machine could read. They belong in lichen.toml: see docs/how-to/secrets.md.") addresses
      ++ each (name: _: isLabel name) (name: _: "services.courier.labels: \"${name}\" is no name of a label: it may have letters, digits and _, and must not begin with a digit or with __.") cfg.labels
      ++ each (name: _: ! builtins.elem name own) (name: _: "services.courier.labels.${name}: the courier itself sets this label; choose another name.") cfg.labels
      ++ each (_: value: value != "" && bytes value <= 256) (name: value: "services.courier.labels.${name} must have 1 to 256 bytes; it has ${toString (bytes value)}.") cfg.labels;
    }
  ]);
}
