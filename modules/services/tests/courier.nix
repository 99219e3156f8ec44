# What the courier's options become.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "courier" "climate" "energy" "recorder" "ffmpeg" "prometheus-node-exporter" "prometheus-nginx-exporter" "prometheus-postgres-exporter" "prometheus-redis-exporter" ]
    (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  evalWith = module: modules.evalAppliance {
    inherit pkgs;
    modules = [ module { _file = "appliances/x.nix"; services.courier = { enable = true; remoteWrite.url = lib.mkDefault write; }; } ];
  };
  eval = courier: evalWith { services.courier = courier; };
  write = "https://prometheus.example.org/api/v1/write";
  push = "https://loki.example.org/loki/api/v1/push";
  etc = courier: (eval courier).config.environment.etc;
  jsonWith = module: builtins.fromJSON (evalWith module).config.environment.etc."courier/config.json".text;
  json = courier: jsonWith { services.courier = courier; };
  targets = services: lib.listToAttrs (map (t: { name = t.job; value = t.url; }) (jsonWith { inherit services; }).scrape.targets);
  lines = prefix: lib.filter (lib.hasPrefix prefix) (lib.splitString "\n" (etc { })."systemd/system/courier.service".text);
  failed = courier: map (a: a.message) (eval courier).failedAssertions;
  synced = courier: lib.filter (lib.hasPrefix "SyncIntervalSec=") (lib.splitString "\n" (etc courier)."systemd/journald.conf".text);
  many = count: f: lib.listToAttrs (map f (lib.genList toString count));
in
{
  "an appliance that does not ask for it has nothing of it" = {
    expr =
      let it = (modules.evalAppliance { inherit pkgs; modules = [ { services.climate.enable = true; } ]; }).config.environment.etc; in
      lib.filter (lib.hasInfix "courier") (lib.attrNames it ++ lib.concatMap (e: lib.optional (e.text != null) e.text) (lib.attrValues it));
    expected = [ ];
  };
  "the service's own defaults are said in its own words" = {
    expr = json { };
    expected = {
      http.port = 9102;
      metrics = { url = write; tenant = null; };
      logs = { url = null; tenant = null; };
      labels = { };
      scrape = { interval_seconds = 15; targets = [ { job = "courier"; url = "http://127.0.0.1:9102/metrics"; } ]; keep = [ ]; drop = [ ]; };
      queue.max_bytes = 268435456;
      clock = { };
    };
  };
  "what the page says is passed on" = {
    expr = removeAttrs
      (json {
        loki = { url = push; tenant = "acme"; };
        labels = { customer = "acme"; location = "cellar"; };
        scrape = { interval = 60; keep = [ "node_*" ]; drop = [ "node_cpu_*" ]; targets.courier = null; };
        queue.maxBytes = 1000000;
        settings.logs.batch_lines = 5;
      }) [ "http" "metrics" "clock" ];
    expected = {
      logs = { url = push; tenant = "acme"; batch_lines = 5; };
      labels = { customer = "acme"; location = "cellar"; };
      scrape = { interval_seconds = 60; targets = [ ]; keep = [ "node_*" ]; drop = [ "node_cpu_*" ]; };
      queue.max_bytes = 1000000;
    };
  };
  "the appliance's own services and the node exporter are scraped where they tell their metrics" = {
    expr = targets {
      climate = { enable = true; port = 81; };
      recorder = { enable = true; metricsPort = 99; };
      energy.enable = false;
      prometheus.exporters.node.enable = true;
    };
    expected = {
      climate = "http://127.0.0.1:81/metrics";
      courier = "http://127.0.0.1:9102/metrics";
      node = "http://127.0.0.1:9100/metrics";
      recorder = "http://127.0.0.1:99/metrics";
    };
  };
  "so are the other exporters" = {
    expr = removeAttrs
      (targets {
        prometheus.exporters = { nginx = { enable = true; telemetryPath = "/figures"; }; postgres = { enable = true; port = 99; }; redis = { enable = true; listenAddress = "127.0.0.2"; }; };
      }) [ "courier" ];
    expected = { nginx = "http://127.0.0.1:9113/figures"; postgres = "http://127.0.0.1:99/metrics"; redis = "http://127.0.0.2:9121/metrics"; };
  };
  "a node exporter that listens at one address is asked there" = {
    expr = (targets { prometheus.exporters.node = { enable = true; listenAddress = "10.3.0.2"; }; }).node;
    expected = "http://10.3.0.2:9100/metrics";
  };
  "targets are added to, moved and taken out" = {
    expr = targets {
      climate.enable = true;
      energy.enable = true;
      courier.scrape.targets = { inverter = "http://192.168.1.20/metrics"; climate = null; energy = "http://127.0.0.1:7/m"; };
    };
    expected = {
      courier = "http://127.0.0.1:9102/metrics";
      energy = "http://127.0.0.1:7/m";
      inverter = "http://192.168.1.20/metrics";
    };
  };
  "it reads the journal and the number of the boot, and nothing else of the system" = {
    expr = lib.concatMap lines [ "SupplementaryGroups" "ProcSubset" "ImportCredential" "DevicePolicy" "StateDirectory=" ];
    expected = [ "SupplementaryGroups=systemd-journal" "ProcSubset=all" "ImportCredential=courier.*" "DevicePolicy=closed" "StateDirectory=courier" ];
  };
  "it is never given up" = { expr = lines "StartLimitInterval"; expected = [ "StartLimitIntervalSec=0" ]; };
  "the time is waited for only where somebody sets it" = {
    expr = map (enable: (jsonWith { services.timesyncd.enable = enable; }).clock) [ true false ];
    expected = [ { } { synchronized = null; } ];
  };
  "the journal is written often enough only where it is carried away, and the page has the last word" = {
    expr = [
      (lib.last (synced { }))
      (lib.last (synced { loki.url = push; }))
      (lib.last (lib.filter (lib.hasPrefix "SyncIntervalSec=") (lib.splitString "\n" (evalWith {
        services.courier.loki.url = push;
        services.journald.extraConfig = "SyncIntervalSec=1h";
      }).config.environment.etc."systemd/journald.conf".text)))
    ];
    expected = [ "SyncIntervalSec=5min" "SyncIntervalSec=15s" "SyncIntervalSec=1h" ];
  };
  "logs alone are enough, but not nothing" = {
    expr = map failed [ { remoteWrite.url = null; loki.url = push; } { remoteWrite.url = null; } ];
    expected = [
      [ ]
      [ "services.courier is enabled, but has no receiver: set services.courier.remoteWrite.url, services.courier.loki.url, or both." ]
    ];
  };
  "an address is one, and a target's is, too" = {
    expr = map failed [
      { remoteWrite.url = "prometheus.example.org"; }
      { loki.url = "ftp://loki.example.org/"; }
      { scrape.targets.inverter = "http:///metrics"; }
      { loki.url = "http://[2001:db8::1]:3100/loki/api/v1/push"; }
      { loki.url = "http://lo ki/"; }
      { loki.url = "http://lo]ki/"; }
      { loki.url = "http://[2001:db8::1/"; }
      { loki.url = "http://loki:80:90/"; }
      { loki.url = "http://loki:99999/"; }
      { loki.url = "http://loki:http/"; }
      { loki.url = "http://loki/<x>"; }
      { loki.url = "http://loki/?\"x\""; }
      { loki.url = "http://10.0.0.7:65535/\"{}?a={b}&c=[d]|\\e`# f"; }
    ];
    expected = map (name: lib.optional (name != null) "services.courier.${name} is no address: it must begin with http:// or https://, and a host must follow, perhaps a port, and a path without spaces.")
      ([ "remoteWrite.url" "loki.url" "scrape.targets.inverter" null ] ++ lib.replicate 8 "loki.url" ++ [ null ]);
  };
  "a password on the page is refused, and not repeated" = {
    expr = map failed [ { loki.url = "https://me:hush@loki.example.org/"; } { loki.url = "https://loki.example.org/?to=me@x"; } ];
    expected = [
      [ "services.courier.loki.url has a user or a password in it, which everybody on the build machine could read. They belong in lichen.toml: see docs/how-to/secrets.md." ]
      [ ]
    ];
  };
  "labels have names and values that receivers take" = {
    expr = map (labels: failed { inherit labels; }) [
      { "my-customer" = "a"; }
      { __meta = "a"; }
      { job = "a"; }
      { customer = ""; }
      { customer = lib.concatStrings (lib.genList (_: "x") 257); }
      { instance = "rack7"; _1 = "ä"; }
    ];
    expected = [
      [ "services.courier.labels: \"my-customer\" is no name of a label: it may have letters, digits and _, and must not begin with a digit or with __." ]
      [ "services.courier.labels: \"__meta\" is no name of a label: it may have letters, digits and _, and must not begin with a digit or with __." ]
      [ "services.courier.labels.job: the courier itself sets this label; choose another name." ]
      [ "services.courier.labels.customer must have 1 to 256 bytes; it has 0." ]
      [ "services.courier.labels.customer must have 1 to 256 bytes; it has 257." ]
      [ ]
    ];
  };
  "there are not more labels and targets than it takes" = {
    expr = [
      (failed { labels = many 17 (n: { name = "l${n}"; value = "x"; }); })
      (failed { scrape.targets = many 32 (n: { name = "t${n}"; value = "http://x/"; }); })
      (failed { scrape.targets = many 32 (n: { name = "t${n}"; value = "http://x/"; }) // { t0 = null; }; })
    ];
    expected = [
      [ "services.courier.labels has 17 labels; at most 16 are possible." ]
      [ "services.courier.scrape.targets has 33 targets; at most 32 are possible." ]
      [ ]
    ];
  };
  "numbers have the ranges that the service has" = {
    expr = map (c: lib.length (eval c).problems) [ { scrape.interval = 0; } { queue.maxBytes = 1; } { scrape.interval = 0.02; queue.maxBytes = 65536; } ];
    expected = [ 1 1 0 ];
  };
}
