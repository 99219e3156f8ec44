# Everything that a service made with the service kit (crates/kit) needs from the system. The service's module contains only
# what is special: further options, which settings they become, and what its units do.
#
#   { config, lib, pkgs, ... }@module:
#   let kit = import ./common/kit.nix module { name = "notes"; }; in
#   {
#     options.services.notes = kit.options { what = "the notes service"; port = 8090; serves = "the page"; } // {
#       paper = kit.setting "paper.size" lib.types.str "A4" "Size of the paper.";
#     };
#     config = lib.mkIf config.services.notes.enable (kit.service "notes" { definition.description = "Notes"; });
#   }
#
# name: of the service's options, user, package, configuration file and secrets. directory: of its data, below /var/lib.
{ config, options, lib, pkgs, ... }: { name, directory ? name }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.${name};
  file = "${name}/config.json";
  program = "${pkgs.${name}}/bin/${name}";
  option = type: default: description: mkOption { inherit type default description; };
  # An option whose value is written to the service's config.json under this path.
  setting = path: type: default: description: option type default description // { inherit path; };
  # The settings that these options make.
  said = options: values: lib.foldl' lib.recursiveUpdate { } (lib.mapAttrsToList
    (name: it:
      if it ? path then lib.setAttrByPath (lib.splitString "." it.path) values.${name}
      else if lib.isOption it then { }
      else said it values.${name})
    options);

  # The user of the service's programs, and the restrictions on them.
  confined = {
    User = name;
    Group = name;
    StateDirectory = directory;
    StateDirectoryMode = "0700";
    ImportCredential = "${name}.*";
    UMask = "0077";
    TimeoutStopSec = "20s";
    TasksMax = 64;
  } // import ./sandbox.nix;
in
{
  inherit option setting program;

  # The options that every service has. what: the service, in "Whether to enable …". serves: what is at the port.
  options = { what, port, serves }: {
    enable = mkEnableOption what;
    port = setting "http.port" types.port port "Port of ${serves}.";
    openFirewall = option types.bool false "Whether to open the port in the firewall.";
    settings = option (types.attrsOf types.anything) { } "Further settings of the service's config.json.";
  };

  # The program that runs all the time and answers at the port, as the systemd service `unit`. settings: what else
  # the options say, for the configuration file. data: the version of its data, where they are worth protecting (see
  # lichen.state). worthReboot: whether the device is rebooted when it does not stay up (see lichen.recovery). definition: what is
  # special about the unit.
  service = unit: { settings ? { }, data ? null, worthReboot ? true, definition }:
  let
    # Where the metrics have a port of their own, the reports of health are there, too.
    told = "http://127.0.0.1:${toString (settings.http.metrics_port or cfg.port)}";
  in
  {
    environment.etc.${file}.text =
      builtins.toJSON (lib.foldl' lib.recursiveUpdate { } [ (said options.services.${name} cfg) settings cfg.settings ]);
    networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall [ cfg.port ];
    users.users.${name} = { isSystemUser = true; group = name; };
    users.groups.${name} = { };

    systemd.services.${unit} = lib.recursiveUpdate {
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      restartTriggers = [ config.environment.etc.${file}.text ];
      serviceConfig = confined // {
        Type = "notify";
        ExecStart = program;
        # The service comes back by itself, ever more slowly; but a bad configuration (64) does not get better. What follows
        # when that does not help is in modules/base/recovery.nix.
        Restart = "always";
        RestartSec = "1s";
        RestartSteps = 6;
        RestartMaxDelaySec = "60s";
        RestartPreventExitStatus = 64;
        WatchdogSec = "30s";
        TimeoutStartSec = "60s";
      };
    } definition;
  } // lib.optionalAttrs (options.services ? courier) {
    services.courier.scrape.targets.${name} = lib.mkDefault "${told}/metrics";
  } // lib.optionalAttrs (options ? lichen) {
    # NixOS, which these modules can be imported into as well, has no such options.
    lichen = {
      pages = lib.optional cfg.openFirewall { inherit (cfg) port; };
      recovery.services = lib.optional worthReboot unit;
      healthChecks.${name}.http = "${told}/health";
      state = mkIf (data != null) {
        ${unit} = {
          directory = "/var/lib/${directory}";
          user = name;
          backup = "${program} backup -";
          restore = "${program} restore --state-directory \"$DIRECTORY\" /dev/stdin";
        } // data;
      };
    };
  };

  # A job of the same program, which ends by itself, as the systemd service `unit`. timer: when it runs; without one, it is
  # only started by hand.
  job = unit: { timer ? null, definition }: {
    systemd.services.${unit} = lib.recursiveUpdate {
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      # An update neither waits for a job nor ends one that is running: the timer soon runs the new program.
      restartIfChanged = false;
      serviceConfig = confined // {
        Type = "oneshot";
        # Status 75: the job could not reach its server. The service's health and metrics report that, and the timer tries
        # again. A failed unit would make a generation that happens to be on trial unhealthy.
        SuccessExitStatus = 75;
      };
    } definition;
    systemd.timers = mkIf (timer != null) { ${unit} = { wantedBy = [ "timers.target" ]; } // timer; };
  };
}
