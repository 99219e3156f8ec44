# Configurations that are refused, and the messages that their authors read.
{ lib, modules }:
let
  eval = module: modules.evalAppliance { pkgs.lichenctl.outPath = "/usr"; modules = [ ({ _file = "appliances/x.nix"; } // module) ]; };
  problems = m: text: { expr = (eval m).problems; expected = [ text ]; };
  failed = m: text: { expr = map (a: a.message) (eval m).failedAssertions; expected = [ text ]; };
in
{
  "unknown option" = problems { services.opensh.enable = true; }
    "The option `services.opensh.enable' does not exist. Defined in appliances/x.nix. Did you mean `services.openssh.enable'?";
  "unknown option of a unit" = problems { systemd.services.x = { serviceConfig.ExecStart = "x"; wanteBy = [ "a" ]; }; }
    "The option `systemd.services.x.wanteBy' does not exist. Defined in appliances/x.nix. Did you mean `systemd.services.x.wantedBy'?";
  "wrong type" = problems { networking.firewall.allowedTCPPorts = [ "80" ]; }
    "A definition for option `networking.firewall.allowedTCPPorts.[definition 1-entry 1]' is not of type `16 bit unsigned integer; between 0 and 65535 (both inclusive)'. Defined as \"80\" in appliances/x.nix.";
  "wrong type of a unit's line" = problems { systemd.services.x.serviceConfig.ExecStart = { a = 1; }; }
    "A definition for option `systemd.services.x.serviceConfig.ExecStart' is not of type `systemd option'. Defined as { a = 1; } in appliances/x.nix.";
  "a bad host name" = problems { networking.hostName = "a b"; }
    "A definition for option `networking.hostName' is not of type `string matching the pattern ^$|^[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?$'. Defined as \"a b\" in appliances/x.nix.";
  "a time zone that is misspelt" = failed { time.timeZone = "Europe/Berlni"; }
    "time.timeZone: the image has no time zone `Europe/Berlni'. Did you mean `Europe/Berlin'?";
  "a time zone of an old name" = failed { time.timeZone = "US/Pacific"; }
    "time.timeZone: the image has no time zone `US/Pacific'. Did you mean `America/Los_Angeles'?";
  "nothing is built of a configuration that fails an assertion" = {
    expr = (eval { users.mutableUsers = true; system.build.toplevel = "built"; }).config.system.build.toplevel;
    fails = true;
  };
  "something is built of one that doesn't" = { expr = (eval { system.build.toplevel = "built"; }).config.system.build.toplevel; expected = "built"; };
  "the file of a failed assertion is known" = {
    expr = map (a: lib.errors.showFile a.file) (eval { users.mutableUsers = true; }).failedAssertions;
    expected = [ "modules/base/users.nix" ];
  };
  "a user without id" = failed { users.users.me = { isNormalUser = true; }; }
    "users.users.me.uid is not set, and the registry (modules/base/ids.nix) has no user of that name. Give it one, 1000 or higher for your own.";
  "two users with one id" = failed { users.users.a = { isNormalUser = true; uid = 1000; }; users.users.b = { isNormalUser = true; uid = 1000; }; }
    "uid 1000 is given to several users: a, b.";
  "a group that nobody declared" = failed { users.users.me = { isNormalUser = true; uid = 1000; extraGroups = [ "wheel" ]; }; }
    "users.users.me is in the group wheel, which doesn't exist. Declare it: users.groups.wheel = { };";
  "a service that runs as nobody known" = failed { systemd.services.x.serviceConfig = { ExecStart = "x"; SupplementaryGroups = [ "i2c" ]; }; }
    "systemd.services.x runs as the group i2c, which doesn't exist. Set hardware.i2c.enable.";
  "a service with nothing to run" = failed { systemd.services.x.serviceConfig.Restart = "always"; }
    "Service `x' has nothing to run: neither `script' nor `serviceConfig.ExecStart', and Debian ships no unit of that name.";
  "a reboot for a service that systemd does not restart" = failed { lichen.recovery.services = [ "x" ]; systemd.services.x.serviceConfig = { ExecStart = "x"; Restart = "no"; }; }
    "lichen.recovery.services: a reboot for x comes after restarts that did not help, but systemd restarts it only if systemd.services.x.serviceConfig.Restart is \"always\" or \"on-failure\", and it is \"no\".";
  "a file system that isn't the configuration's" = failed { fileSystems."/var".device = "/dev/sda1"; }
    "fileSystems.\"/var\": /var is mounted by the initrd and can't be configured.";
  "two files for one path" = failed { environment.etc.a = { target = "x"; text = ""; }; environment.etc.b = { target = "x"; text = ""; }; }
    "environment.etc has 2 files for /etc/x. Give them different `target's.";
  "a gateway on no interface" = failed { networking.defaultGateway = "10.0.0.1"; }
    "networking.defaultGateway.interface is not optional: systemd-networkd must know which interface 10.0.0.1 is on.";
  "a health check of two kinds" = failed { lichen.healthChecks.x = { http = "http://localhost/"; unit = "x.service"; }; }
    "lichen.healthChecks.x: exactly one of `http', `command' and `unit' has to be set.";
  "a language the image has not" = failed { i18n.defaultLocale = "de_DE.UTF-8"; }
    "i18n.defaultLocale is `de_DE.UTF-8', but the image has no locale other than C.UTF-8.";
  "users who are trusted to bring in store paths" = failed { nix.settings.trusted-users = [ "root" "ops" ]; }
    "nix.settings.trusted-users: only root brings in store paths and changes generations, as the device has neither a nix-daemon nor sudo. Deploy as root, whose keys users.users.root.openssh.authorizedKeys and lichen.toml name.";
  "several systems in one generation" = failed { specialisation.night.configuration.services.openssh.enable = false; }
    "specialisation is not offered: write a page of its own that imports this one, and deploy it: `./lichen deploy HOST PAGE`; the way back is a rollback.";
  "tools made for NixOS find what they look for" = {
    expr = let it = eval { }; in [ it.class (it ? lib) (it ? pkgs) it._module.specialArgs ];
    expected = [ "nixos" true true { } ];
  };
}
