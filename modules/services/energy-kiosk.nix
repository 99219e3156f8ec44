# The page of energy on an attached screen: cage and Chromium, which may reach nothing but the page.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkEnableOption mkIf mkOption types;
  cfg = config.services.energy;
  page = "http://127.0.0.1:${toString cfg.port}/";
  curl = "${pkgs.curl}/bin/curl --silent --show-error --fail";
  # Nothing of a session is kept: its folder is removed when the unit stops. Networking runs within the browser's main
  # process: Chromium might give up a separate one while a slow card is being read, and the page with it.
  browser = lib.escapeShellArgs ([
    "${pkgs.chromium}/bin/chromium" "--ozone-platform=wayland" "--kiosk" "--user-data-dir=/run/cage/profile"
    "--no-first-run" "--noerrdialogs" "--disable-session-crashed-bubble" "--disable-breakpad"
    "--disable-component-update" "--password-store=basic" "--disk-cache-size=16777216" "--disable-pinch"
    "--overscroll-history-navigation=0" "--enable-features=NetworkServiceInProcess2"
  ] ++ cfg.kiosk.browserArguments ++ [ "${page}?wall" ]);
  program = "${pkgs.energy}/bin/energy kiosk ${page} -- ${browser}";
in
{
  options.services.energy.kiosk = {
    enable = mkEnableOption "the page on the attached screen";
    browserArguments = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "--force-dark-mode" "--force-device-scale-factor=1.5" ];
      description = "Further arguments of Chromium.";
    };
  };

  config = mkIf cfg.kiosk.enable {
    assertions = [{ assertion = cfg.enable; message = "services.energy.kiosk.enable: there is no page to show without services.energy.enable."; }];

    users.users.kiosk = { isSystemUser = true; group = "kiosk"; };
    users.groups.kiosk = { };

    # https://chromeenterprise.google/policies/
    environment.etc."chromium/policies/managed/energy.json".text = builtins.toJSON {
      URLBlocklist = [ "*" ];
      URLAllowlist = [ "127.0.0.1:${toString cfg.port}" ];
      BrowserSignin = 0;
      MetricsReportingEnabled = false;
      PasswordManagerEnabled = false;
      SearchSuggestEnabled = false;
      TranslateEnabled = false;
    };

    services.cage = { enable = true; user = "kiosk"; inherit program; };
    systemd.services.cage-tty1 = {
      description = lib.mkForce "The page of energy on the screen";
      after = [ "home-energy-dashboard.service" ];
      # An open page does not change by itself, so a new version of it has to restart the browser.
      restartTriggers = [ pkgs.energy ];
      serviceConfig = import ./common/sandbox.nix // {
        # Wait until there is a page to show; when it takes too long, the unit is started again.
        ExecStartPre = "${curl} --output /dev/null --max-time 5 --retry 1000 --retry-delay 1 --retry-all-errors --retry-max-time 60 ${page}api/health";
        TimeoutStartSec = "90s";
        TimeoutStopSec = "10s";

        # If memory or processor time is short, the browser suffers before the dashboard; and it is killed as a whole, since
        # a browser without its page processes shows nothing.
        MemoryHigh = "60%";
        MemoryMax = "70%";
        CPUWeight = 20;
        OOMScoreAdjust = 500;
        OOMPolicy = "kill";
        TasksMax = 512;

        DeviceAllow = "char-drm rw";
        IPAddressDeny = "any";
        IPAddressAllow = "localhost";
        RestrictAddressFamilies = [ "AF_INET" "AF_INET6" "AF_UNIX" "AF_NETLINK" ];
        # Chromium confines its pages with namespaces and system calls of its own, compiles the scripts in them, and
        # reads more of /proc than processes.
        MemoryDenyWriteExecute = false;
        PrivateUsers = false;
        ProcSubset = "all";
        RestrictNamespaces = "user pid net";
        SystemCallFilter = [ "@system-service" "@sandbox" "@pkey" "chroot" ];
        UMask = "0077";
      };
    };
  };
}
