# What the node exporter's options become.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "climate" "courier" "prometheus-node-exporter" "prometheus-redis-exporter" ] (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  eval = node: (modules.evalAppliance { inherit pkgs; modules = [{ services.prometheus.exporters.node = node; }]; }).config;
  on = services: (modules.evalAppliance { inherit pkgs; modules = [{ inherit services; }]; }).config;
  etc = node: (on { prometheus.exporters.node = { enable = true; } // node; courier = { enable = true; loki.url = "http://x/"; }; }).environment.etc;
  dropin = "systemd/system/prometheus-node-exporter.service.d/overrides.conf";
  lines = node: prefix: lib.filter (lib.hasPrefix prefix) (lib.splitString "\n" (etc node).${dropin}.text);
  check = node: (builtins.fromJSON (etc node)."lichen/health.json".text).checks.node-exporter.http;
in
{
  "an appliance that does not ask for it has nothing of it" = {
    expr = let it = eval { }; in [ (it.environment.etc ? ${dropin}) (it.users.users ? node-exporter) ];
    expected = [ false false ];
  };
  "it replaces what Debian's unit runs, and with which arguments" = {
    expr = lines { } "E" ++ lines { } "User=";
    expected = [
      "EnvironmentFile=" "ExecStart="
      "ExecStart=/usr/bin/prometheus-node-exporter --no-collector.textfile '--web.listen-address=0.0.0.0:9100'"
      "User=node-exporter"
    ];
  };
  "collectors and further arguments are passed on" = {
    expr = lib.last (lines { enabledCollectors = [ "systemd" ]; disabledCollectors = [ "timex" ]; extraFlags = [ "--log.level=error" ]; port = 99; } "ExecStart=");
    expected = "ExecStart=/usr/bin/prometheus-node-exporter --collector.systemd --no-collector.timex --no-collector.textfile '--web.listen-address=0.0.0.0:99' '--log.level=error'";
  };
  "what the device knows of itself is passed on where no service of this project does" = {
    expr = map
      (services:
        let it = (on (services // { prometheus.exporters.node.enable = true; })).environment.etc; in [
          (lib.filter (lib.hasPrefix "--collector") (lib.concatMap (lib.splitString " ") (lib.splitString "'" it.${dropin}.text)))
          (lib.mapAttrs' (name: file: lib.nameValuePair (lib.removePrefix "lichen/metrics/" name) file.source) (lib.filterAttrs (name: _: lib.hasPrefix "lichen/metrics/" name) it))
        ])
      [ { prometheus.exporters.redis.enable = true; } { climate.enable = true; } ];
    expected = [
      [ [ "--collector.textfile.directory=/etc/lichen/metrics" ] { "link.prom" = "/run/lichen/link.metrics"; "recovery.prom" = "/run/lichen/metrics"; "vitals.prom" = "/run/lichen/vitals.metrics"; } ]
      [ [ ] { } ]
    ];
  };
  "files of others are looked for only where the page says, since their missing would be an error at each scrape" = {
    expr = map (node: lib.any (lib.hasInfix "--no-collector.textfile") (lines node "ExecStart="))
      [ { } { disabledCollectors = [ "textfile" ]; } { extraFlags = [ "--collector.textfile.directory=/run/figures" ]; } { enabledCollectors = [ "textfile" ]; } ];
    expected = [ true true false false ];
  };
  "its health is asked for where it listens" = {
    expr = map check [ { } { listenAddress = "10.3.0.2"; port = 99; } ];
    expected = [ "http://127.0.0.1:9100/" "http://10.3.0.2:99/" ];
  };
  "the firewall is opened only if asked" = {
    expr = map (node: (eval ({ enable = true; } // node)).networking.firewall.allowedTCPPorts) [ { } { openFirewall = true; } ];
    expected = [ [ 22 ] [ 22 9100 ] ];
  };
}
