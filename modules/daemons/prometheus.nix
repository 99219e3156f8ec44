# Debian's Prometheus with NixOS's options: on the device itself, for a site without one. promtool judges what it is to do.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkDefault mkEnableOption mkIf mkOption types;
  daemon = import ./common/daemon.nix { inherit lib; };
  exporter = import ./common/exporter.nix { inherit lib; };
  cfg = config.services.prometheus;
  option = type: default: description: mkOption { inherit type default description; };
  optional = type: description: option (types.nullOr type) null description;
  # What Prometheus knows besides; promtool refuses what it does not.
  freely = options: types.submodule { freeformType = types.attrsOf types.anything; inherit options; };

  static = freely {
    targets = mkOption { type = types.listOf types.str; example = [ "localhost:9100" ]; description = "The addresses, with ports."; };
    labels = option (types.attrsOf types.str) { } "Labels of all that comes from there.";
  };
  scrape = freely {
    job_name = mkOption { type = types.str; description = "The name of the job, which becomes a label."; };
    scrape_interval = optional types.str "How often to ask.";
    scrape_timeout = optional types.str "How long an answer may take.";
    metrics_path = optional types.str "The path of the metrics.";
    scheme = optional (types.enum [ "http" "https" ]) "How to ask.";
    static_configs = option (types.listOf static) [ ] "Whom to ask.";
  };
  remote = freely {
    url = mkOption { type = types.str; description = "Where to send everything."; };
    name = optional types.str "A name for it, in figures and in the journal.";
  };
  global = freely {
    scrape_interval = optional types.str "How often to ask.";
    scrape_timeout = optional types.str "How long an answer may take.";
    evaluation_interval = optional types.str "How often rules are evaluated.";
    external_labels = option (types.attrsOf types.str) { } "Labels of everything that is sent elsewhere.";
  };

  said = lib.filterAttrsRecursive (_: v: v != null && v != { });
  ruleFiles = lib.listToAttrs (lib.imap1 (n: text: lib.nameValuePair "prometheus/rules/${toString n}.yml" { inherit text; }) cfg.rules
    ++ lib.imap1 (n: source: lib.nameValuePair "prometheus/rules/file-${toString n}.yml" { inherit source; }) cfg.ruleFiles);
  file = builtins.toJSON (said {
    global = said cfg.globalConfig;
    scrape_configs = map (one: said (one // { static_configs = map said one.static_configs; })) cfg.scrapeConfigs;
    remote_write = map said cfg.remoteWrite;
    rule_files = map (name: "/etc/${name}") (lib.attrNames ruleFiles);
    alerting.alertmanagers = cfg.alertmanagers;
  });
  promtool = "${pkgs.promtool}/bin/promtool";
  prefix = let parts = builtins.match "[a-z]+://[^/]+(/.*[^/])?/?" (lib.mapNullable lib.unsafeDiscardStringContext cfg.webExternalUrl); in
    if cfg.webExternalUrl == null || parts == null || lib.head parts == null then "" else "${lib.removePrefix "/" (lib.head parts)}/";
  data = "/var/lib/${cfg.stateDir}";
  damage = import ./common/damage.nix { inherit lib; directory = data; runtime = "/run/prometheus"; };
  flags = [
    "--config.file=/etc/prometheus/prometheus.yml"
    "--storage.tsdb.path=${data}/data"
    "--storage.tsdb.retention.time=${cfg.retentionTime}"
    "--web.listen-address=${cfg.listenAddress}:${toString cfg.port}"
  ] ++ lib.optional (cfg.webExternalUrl != null) "--web.external-url=${cfg.webExternalUrl}" ++ cfg.extraFlags;
in
{
  imports = [
    (import ./common/not-offered.nix [ "services" "prometheus" ] {
      configText = "write scrapeConfigs, rules and the other options.";
      enableAgentMode = "services.courier carries metrics away.";
      enableReload = "it is always so: another configuration reloads Prometheus.";
      package = "Debian 13 has one Prometheus, 2.53.";
      pushgateway = "write to a textfile of the node exporter.";
      remoteRead = "what is stored is on the device.";
      webConfigFile = "put nginx before it, for TLS and for passwords.";
    })
  ];

  options.services.prometheus = {
    enable = mkEnableOption "Prometheus";
    listenAddress = option types.str "0.0.0.0" "Address to listen on. The firewall has to let others in, too.";
    port = option types.port 9090 "Port of the page and the API.";
    stateDir = option types.str "prometheus2" "Where the figures are, below {file}`/var/lib`.";
    extraFlags = option (types.listOf types.str) [ ] "Further arguments.";
    globalConfig = option global { } "What holds for all jobs.";
    scrapeConfigs = mkOption {
      type = types.listOf scrape;
      default = [ ];
      example = [{ job_name = "node"; static_configs = [{ targets = [ "localhost:9100" ]; }]; }];
      description = "Whom to ask for figures.";
    };
    rules = option (types.listOf types.str) [ ] "Files of rules, each as its text.";
    ruleFiles = mkOption { type = types.listOf types.path; default = [ ]; example = lib.literalExpression "[ ./alerts.yml ]"; description = "Files of rules."; };
    alertmanagers = mkOption {
      type = types.listOf (types.attrsOf types.anything);
      default = [ ];
      example = [{ static_configs = [{ targets = [ "localhost:9093" ]; }]; }];
      description = "Whom to tell of alerts.";
    };
    remoteWrite = option (types.listOf remote) [ ] "Where else to send everything. Secrets are named by files on the device (`password_file`).";
    retentionTime = mkOption { type = types.str; default = "15d"; example = "30d"; description = "How long figures are kept."; };
    webExternalUrl = mkOption { type = types.nullOr types.str; default = null; example = "https://rack.example.org/prometheus/"; description = "Where others find the page."; };
    checkConfig = option types.bool true "Whether the build lets promtool judge the configuration.";
  };

  config = mkIf cfg.enable (lib.mkMerge [
    {
      environment.etc = { "prometheus/prometheus.yml".text = file; } // ruleFiles;
      lichen.configurationChecks.prometheus = mkIf cfg.checkConfig {
        packages = [ pkgs.promtool ];
        etc = [ "prometheus/prometheus.yml" ] ++ lib.attrNames ruleFiles;
        script = ''
          device ${promtool} check config --lint=none --syntax-only /etc/prometheus/prometheus.yml > log 2>&1 \
            || { cat log; echo "error: services.prometheus: promtool refuses the configuration (above)"; exit 1; }
          ${lib.concatMapStrings (name: ''
            device ${promtool} check rules /build/root/etc/${name} > log 2>&1 \
              || { cat log; echo "error: services.prometheus.rules or ruleFiles: promtool refuses ${name} (above)"; exit 1; }
          '') (lib.attrNames ruleFiles)}
        '';
      };

      # Prometheus 2.53 does not read what Prometheus 3 writes. The copy is of names first, all at once: while files are read, blocks are
      # merged, and what became a block leaves the log. That the log grows meanwhile (tar's 1) does no harm: what is missing came later.
      lichen.state.prometheus = {
        version = "2";
        directory = data;
        backup = ''
          set -e
          cd ${data}
          rm -rf copy
          trap 'rm -rf copy' EXIT
          mkdir copy
          # What is just being removed from the log cannot be copied. The next time it is gone.
          tries=5
          until cp -al data/wal copy; do
            rm -rf copy/wal
            tries=$((tries - 1))
            [ $tries -gt 0 ] || exit 1
            sleep 1
          done
          find data -maxdepth 1 -name '[0-9]*' ! -name '*.*' -exec cp -al -t copy {} +
          tar -c -C copy . || [ $? -eq 1 ]
        '';
        restore = "mkdir \"$DIRECTORY/data\" && tar -x -C \"$DIRECTORY/data\"";
      };
    }
    (daemon "prometheus" {
      user = "prometheus";
      health.http = "${exporter.address cfg}${prefix}-/healthy";
      definition = {
        description = "Prometheus";
        reloadTriggers = [ file ] ++ cfg.rules ++ cfg.ruleFiles;
        environment.GOMEMLIMIT = mkDefault "256MiB";
        # A torn end of its log is Prometheus' own affair. With a damaged block, or any other damage to what is not in blocks yet, it
        # ends with status 1, and would for ever: that is put aside, and the rest is served. <3> is an error in the journal.
        preStart = damage.before ''
          gone() {
            aside data/$1 && echo "<3>$1 is damaged: it was put aside in ${data}/damaged"
          }
          for meta in data/*/meta.json; do
            [ -e $meta ] || continue
            block=''${meta%/meta.json}
            rm -rf looked-at
            # Both, and promtool, need room for a folder. Who has none for that cannot tell what is damaged.
            mkdir looked-at && cp -al $block looked-at/ || break
            status=0
            said=$(${promtool} tsdb list looked-at 2>&1 > /dev/null) || status=$?
            case $status:$said in
              *"no space left"*) break ;;
              1:*) gone ''${block#data/} ;;
            esac
          done
          rm -rf looked-at
          for part in either other; do
            # It reads what Prometheus would read, and tells what is wrong.
            ! said=$(${promtool} tsdb dump --sandbox-dir-root=. --match='{__name__="none"}' data 2>&1 > /dev/null) || break
            case $said in
              *"no space left"*) break ;;
              *chunks_head*) gone chunks_head ;;
              *"backfill checkpoint"* | *"segments are not sequential"* | *"open WAL segment"*) gone wal ;;
              *) break ;;
            esac
          done
        ''
        # It notes the queries that are running through memory, and would be killed by the first one that a full DATA has no room for.
        + ''
          mkdir -p ${data}/data
          cd ${data}/data
          [ -L queries.active ] || ln -sf /run/prometheus/queries.active queries.active
        '';
        postStop = damage.after;
        serviceConfig = damage.serviceConfig // {
          ExecStart = "${pkgs.prometheus}/bin/prometheus ${lib.escapeShellArgs flags}";
          ExecReload = "/bin/kill -HUP $MAINPID";
          StateDirectory = cfg.stateDir;
          StateDirectoryMode = "0700";
          RuntimeDirectory = "prometheus";
          RuntimeDirectoryMode = "0700";
          TimeoutStopSec = "60s";
          MemoryMax = mkDefault "320M";
          TasksMax = 128;
        };
      };
    })
  ]);
}
