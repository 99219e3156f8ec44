# What the options of Prometheus and of its Alertmanager become, and which are refused.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "prometheus" "promtool" "prometheus-alertmanager" ] (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  eval = prometheus: modules.evalAppliance { inherit pkgs; modules = [ { _file = "appliances/x.nix"; services = { inherit prometheus; }; } ]; };
  on = prometheus: { enable = true; } // prometheus;
  etc = prometheus: (eval prometheus).config.environment.etc;
  said = prometheus: builtins.fromJSON (etc (on prometheus))."prometheus/prometheus.yml".text;
  lines = unit: prefix: prometheus: lib.filter (lib.hasPrefix prefix) (lib.splitString "\n" (etc prometheus)."systemd/system/${unit}.service".text);
  script = step: lib.splitString "\n" (etc (on { }))."lichen/scripts/prometheus-${step}".text;
  failed = prometheus: map (a: a.message) (eval prometheus).failedAssertions;
  checks = prometheus: (builtins.fromJSON (etc prometheus)."lichen/health.json".text).checks;
  me = { route.receiver = "me"; receivers = [ { name = "me"; } ]; };
in
{
  "what is damaged is looked for only when it has ended by itself, and at the next start, since an end has little time" = {
    expr = map (step: lib.filter (l: lib.hasInfix "/ended" l) (script step)) [ "post-stop" "pre-start" ] ++ map (key: lines "prometheus" "${key}=" (on { })) [ "TimeoutStartSec" "RuntimeDirectoryPreserve" ];
    expected = [
      [ "[ \"$EXIT_CODE $EXIT_STATUS\" != \"exited 1\" ] || touch /run/prometheus/ended" ]
      [ "if [ -e /run/prometheus/ended ]; then" "  rm /run/prometheus/ended" ]
      [ "TimeoutStartSec=30min" ]
      [ "RuntimeDirectoryPreserve=restart" ]
    ];
  };
  "an appliance that does not ask for them has nothing of them" = {
    expr = let it = (eval { }).config; in [ (it.systemd.services ? prometheus) (it.systemd.services ? alertmanager) (it.users.users ? prometheus) it.lichen.configurationChecks it.lichen.state ];
    expected = [ false false false { } { } ];
  };
  "what both remember is protected from another version, where the page says that it is" = {
    expr = lib.mapAttrs (_: state: [ state.version state.directory ])
      (builtins.fromJSON (etc (on { stateDir = "figures"; alertmanager = on { configuration = me; }; }))."lichen/state.json".text);
    expected = { alertmanager = [ "0.28" "/var/lib/alertmanager" ]; prometheus = [ "2" "/var/lib/figures" ]; };
  };
  "a copy of either does not fail for what changes meanwhile" = {
    expr =
      let state = builtins.fromJSON (etc (on { alertmanager = on { configuration = me; }; }))."lichen/state.json".text; in
      lib.mapAttrs (_: it: map (what: lib.hasInfix what it.backup) [ "|| [ $? -eq 1 ]" "until cp -al data/wal copy;" ]) state;
    expected = { alertmanager = [ true false ]; prometheus = [ true true ]; };
  };
  "both are sound" = { expr = let it = on { alertmanager = on { configuration = me; }; }; in [ (failed it) (eval it).problems ]; expected = [ [ ] [ ] ]; };
  "what is not said is not written" = {
    expr = removeAttrs (said { }) [ "rule_files" "remote_write" "scrape_configs" ];
    expected = { alerting.alertmanagers = [ ]; };
  };
  "jobs are written under Prometheus's names, also what only Prometheus knows" = {
    expr = (said { scrapeConfigs = [ { job_name = "node"; scrape_interval = "30s"; static_configs = [ { targets = [ "localhost:9100" ]; } ]; relabel_configs = [ { action = "drop"; } ]; } ]; }).scrape_configs;
    expected = [ { job_name = "node"; scrape_interval = "30s"; static_configs = [ { targets = [ "localhost:9100" ]; } ]; relabel_configs = [ { action = "drop"; } ]; } ];
  };
  "rules are files, whether the page has their text or a file" = {
    expr = let it = { rules = [ "groups: []" ]; ruleFiles = [ ./prometheus.nix ]; }; in [ (said it).rule_files (etc (on it))."prometheus/rules/1.yml".text ];
    expected = [ [ "/etc/prometheus/rules/1.yml" "/etc/prometheus/rules/file-1.yml" ] "groups: []" ];
  };
  "it keeps figures as long as it is told to, and where" = {
    expr = lines "prometheus" "ExecStart=" (on { retentionTime = "30d"; extraFlags = [ "--log.level=warn" ]; });
    expected = [ "ExecStart=/usr/bin/prometheus '--config.file=/etc/prometheus/prometheus.yml' '--storage.tsdb.path=/var/lib/prometheus2/data' '--storage.tsdb.retention.time=30d' '--web.listen-address=0.0.0.0:9090' '--log.level=warn'" ];
  };
  "its health is asked for below the path that others find it at" = {
    expr = map (url: (checks (on { webExternalUrl = url; listenAddress = "10.0.0.1"; })).prometheus.http) [ null "http://a.example" "http://a.example/" "https://a.example/x/y" "https://a.example/x/y/" ];
    expected = map (path: "http://10.0.0.1:9090/${path}-/healthy") [ "" "" "" "x/y/" "x/y/" ];
  };
  "another job or rule reloads it, and does not restart it" = {
    expr =
      let triggers = what: it: lines "prometheus" "X-${what}-Triggers" (on it); in
      map (it: [ (triggers "Restart" it == triggers "Restart" { }) (triggers "Reload" it == triggers "Reload" { }) ]) [ { rules = [ "groups: []" ]; } { scrapeConfigs = [ { job_name = "a"; } ]; } ];
    expected = [ [ true false ] [ true false ] ];
  };
  "a job without a name is refused" = {
    expr = said { scrapeConfigs = [ { scheme = "http"; } ]; };
    fails = true;
  };
  "the Alertmanager is alone, and told what the page says" = {
    expr = let it = { alertmanager = on { configuration = me; listenAddress = "127.0.0.1"; openFirewall = true; }; }; in [
      (lines "alertmanager" "ExecStart=" it)
      (builtins.fromJSON (etc it)."alertmanager/alertmanager.yml".text)
      (checks it).alertmanager.http
      (eval it).config.networking.firewall.allowedTCPPorts
    ];
    expected = [
      [ "ExecStart=/usr/bin/prometheus-alertmanager '--config.file=/etc/alertmanager/alertmanager.yml' '--storage.path=/var/lib/alertmanager' '--web.listen-address=127.0.0.1:9093' '--log.level=warn' '--cluster.listen-address='" ]
      me
      "http://127.0.0.1:9093/-/healthy"
      [ 22 9093 ]
    ];
  };
  "one that is told nothing, or twice, is refused" = {
    expr = map (it: failed { alertmanager = on it; }) [ { } { configuration = me; configText = "{}"; } ];
    expected = map (_: [ "services.prometheus.alertmanager: exactly one of `configuration' and `configText' has to be set." ]) [ 1 2 ];
  };
  "an option of NixOS's that is not offered says so" = {
    expr = failed (on { enableAgentMode = true; }) ++ failed { alertmanager = on { configuration = me; clusterPeers = [ "a" ]; }; };
    expected = [
      "services.prometheus.enableAgentMode is not offered: services.courier carries metrics away."
      "services.prometheus.alertmanager.clusterPeers is not offered: a device has one Alertmanager."
    ];
  };
}
