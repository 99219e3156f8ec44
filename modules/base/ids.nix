# The registry of user and group ids. /var outlives generations, so an id is given once and never again to
# another name. Debian's fixed ids (0–99, 65534) are base-passwd's; the others are ours, below the range in which
# Debian's own packages would pick one.
{ lib, ... }:
let
  inherit (lib) mkOption types;

  # Packages of Debian's that bring a user or group without a fixed id.
  debian = {
    uids = {
      systemd-network = 990;
      systemd-resolve = 991;
      systemd-timesync = 992;
      messagebus = 993;
      sshd = 994;
      systemd-coredump = 995;
      systemd-oom = 996;
      polkitd = 997;
      tcpdump = 998;
      postgres = 970;
      redis = 971;
      prometheus = 972;
      node-exporter = 973;
      nginx = 974;
      alertmanager = 975;
      postgres-exporter = 976;
      redis-exporter = 968;
      nginx-exporter = 969;
    };
    gids = {
      i2c = 980;
      input = 981;
      sgx = 982;
      clock = 983;
      kvm = 984;
      render = 985;
      systemd-journal = 986;
      _ssh = 987;
      netdev = 988;
      gpio = 989;
      spi = 979;
      crontab = 978;
      ssl-cert = 977;
    };
  };

  # Services of Lichen's own; user and group of one name have one id.
  services = {
    climate = 900;
    ticker = 901;
    recorder = 902;
    rack = 903;
    energy = 904;
    kiosk = 905;
    courier = 906;
    acme = 907;
  };
  fixed = import ./debian/accounts.nix;
in
{
  options.ids = {
    uids = mkOption {
      type = types.attrsOf types.int;
      internal = true;
      description = "User ids, by name. An appliance's own go to `users.users.<name>.uid`.";
    };
    gids = mkOption {
      type = types.attrsOf types.int;
      internal = true;
      description = "Group ids, by name.";
    };
  };

  config.ids = {
    uids = lib.mapAttrs (_: u: u.uid) fixed.users // debian.uids // services;
    gids = fixed.groups // removeAttrs debian.uids [ "sshd" ] // debian.gids // services;
  };
}
